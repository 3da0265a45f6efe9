"""Real models against theory: the predictions of the rows and what decoding did, on the same prompts.

For every prompt two continuations are written, one by plain decoding and one by the algorithm, and both are
read again by whole forward passes without caches (`specsim.models.row_pass`). The rows along the plain
continuation are samples of Theorem 1 of 2411.00841 and of the accepted-length law that never saw the code
under test. The rows along the algorithm's own continuation say of every position how likely a rejection was
given all before it, so that rejections minus these probabilities have mean zero position by position: bets on
them (`specsim.models.paired_test`) have a stated false-alarm rate, and differences between prompts, the
largest source of noise, cancel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.algorithms import Algorithm, Autoregressive, Speculative
from specsim.errors import InputError, UnsupportedError
from specsim.models.along_path import Run, outcomes_of_rounds, path_law
from specsim.models.coins import check_seed
from specsim.models.decoding import decode
from specsim.models.measured_lengths import STATISTICS, accepted_lengths, by_prompt, entries_of
from specsim.models.measured_variables import ATTRIBUTES, VARIABLES
from specsim.models.opt_uno import provenance
from specsim.models.paired_test import bet_on_rejections, bet_on_tokens
from specsim.models.position_numbers import PlaceNumbers, check_measurable, kinds_of, place_numbers
from specsim.models.results import Decoded
from specsim.models.row_pass import UsedRows, rows_along
from specsim.models.rules import check_algorithm
from specsim.models.sampling import Sampling
from specsim.records.trace_files import OUTCOMES
from specsim.support.arrays import Bools
from specsim.support.checks import whole
from specsim.support.hashes import derived_seed
from specsim.support.intervals import check_confidence, mean_over
from specsim.support.labelled import check, label

if TYPE_CHECKING:
    import xarray


#: Parts of the wall-clock time.
PARTS = ("prefill", "draft", "verify", "overhead")
#: Prompts whose decoder's rows are compared with those of whole passes.
_COMPARED_PROMPTS = 4


@dataclass(frozen=True, kw_only=True)
class _Written:
    """Continuations of all prompts, and numbers of their rows; arrays ``(prompts, positions, ...)``."""

    decoded: Decoded
    numbers: PlaceNumbers


def measure(
    models: Any,
    prompts: Sequence[Sequence[int]],
    *,
    algorithm: Algorithm | None = None,
    new_tokens: int,
    sampling: Sampling | None = None,
    seed: int,
    repeats: int = 3,
    batch: int | None = None,
    alpha: float = 1e-6,
    level: float = 0.95,
    progress: Callable[[int], None] | None = None,
) -> xarray.Dataset:
    """Measure a decoder on real models and compare it with theory.

    Every continuation has exactly `new_tokens` tokens; nothing ends one early.

    Parameters
    ----------
    models
        The pair, as `specsim.models.load_pair` returns it.
    prompts
        Token ids.
    algorithm
        One whose rule is among `specsim.models.torch_rules`, on a chain, paths or a tree whose nodes of one
        depth have equally many children, with drafts drawn independently or greedily. Defaults to None,
        ``speculative:draft_length=4``.
    new_tokens
        Tokens of each continuation.
    sampling
        Defaults to None, the models' own laws.
    seed
        0 to 2^64 - 1.
    repeats
        Continuations per prompt and decoder; also the number of timings.
    batch
        Prompts decoded at once. Defaults to None, all of them.
    alpha
        False alarms of the two tests together, at most.
    level
        Confidence of each interval by itself.
    progress
        Called with the number of decodings and readings done so far, out of `steps`.

    Returns
    -------
    xarray.Dataset
        Described by `specsim.models.measured_variables.VARIABLES`. The attribute ``agrees`` is 1 where both
        tests found nothing.

    Raises
    ------
    InputError
        A number out of range, an algorithm that cannot be compared with theory, or as `decode`.

    Examples
    --------
    >>> from specsim import Speculative, models, parse_pair
    >>> target, draft = models.table_models(parse_pair("random:contexts=3,horizon=8,seed=1,stationary=yes"))
    >>> pair = models.LoadedPair(target=target, draft=draft)
    >>> found = models.measure(
    ...     pair, [[0]] * 4, algorithm=Speculative(draft_length=3), new_tokens=6, seed=1, repeats=1
    ... )
    >>> found.sizes["prompt"]
    4
    """
    algorithm = Speculative(draft_length=4) if algorithm is None else algorithm
    sampling = Sampling() if sampling is None else sampling
    check_seed(seed)
    _check_request(prompts, algorithm, new_tokens, repeats, batch, alpha, level)
    reader = _Reader(models, prompts, algorithm, new_tokens, sampling, seed, batch, progress)
    # Compilation, allocation and thread pools are not what is timed.
    reader.warm_up()
    difference = reader.row_difference()
    plain: list[_Written] = []
    own: list[_Written] = []
    for repeat in range(repeats):
        # In turn, so that neither has the quieter moments of the machine to itself.
        order = [(Autoregressive(), plain), (algorithm, own)]
        for decoder, written in order if repeat % 2 == 0 else order[::-1]:
            written.append(reader.write(decoder, repeat))
    runs = [[_run(reader, written, prompt) for prompt in range(len(prompts))] for written in own]
    values = _values(reader, plain, own, runs, alpha, level)
    values["row_difference"] = difference
    dataset = label(
        VARIABLES,
        values,
        coordinates={
            "step": np.arange(1, new_tokens + 1),
            "accepted": np.arange(values["accepted_length_count"].size),
            "statistic": list(STATISTICS),
            "decoder": ["plain", "measured"],
            "part": list(PARTS),
        },
        attributes={
            **provenance(models, sampling, seed),
            "algorithm": algorithm.label,
            "lossless": int(algorithm.lossless),
            "new_tokens": new_tokens,
            "prompts": len(prompts),
            "repeats": repeats,
            "alpha": float(alpha),
            "confidence": float(level),
            "agrees": int(min(values["rejection_p_value"], values["token_p_value"]) > alpha / 2),
        },
    )
    check(dataset, VARIABLES, ATTRIBUTES, "the measurement")
    return dataset


def steps(repeats: int) -> int:
    """Return how many decodings and readings `measure` does."""
    return 4 * repeats


class _Reader:
    """Decodes all prompts, and reads what was written again."""

    def __init__(
        self,
        models: Any,
        prompts: Sequence[Sequence[int]],
        algorithm: Algorithm,
        new_tokens: int,
        sampling: Sampling,
        seed: int,
        batch: int | None,
        progress: Callable[[int], None] | None,
    ) -> None:
        self.models, self.prompts, self.algorithm = models, [list(prompt) for prompt in prompts], algorithm
        self.new_tokens, self.sampling, self.seed, self.batch = new_tokens, sampling, seed, batch
        self.lossless = algorithm.lossless
        self.kinds = kinds_of(algorithm, new_tokens)
        self.done, self.progress = 0, progress

    def decode(self, decoder: Algorithm, repeat: int, **options: Any) -> Decoded:
        """Decode; the seed is that of the decoder and the repeat."""
        kind = "plain" if decoder.plain else "measured"
        return decode(
            self.models,
            options.pop("prompts", self.prompts),
            algorithm=decoder,
            new_tokens=options.pop("new_tokens", self.new_tokens),
            sampling=self.sampling,
            seed=derived_seed(self.seed, f"measure/{kind}/{repeat}"),
            batch=self.batch,
            **options,
        )

    def warm_up(self) -> None:
        """Run both decoders for a few tokens."""
        for decoder in (Autoregressive(), self.algorithm):
            self.decode(decoder, -1, new_tokens=min(8, self.new_tokens))

    def write(self, decoder: Algorithm, repeat: int) -> _Written:
        """Return the continuations of all prompts by one decoder, timed and then read."""
        decoded = self.decode(decoder, repeat)
        self._count()
        found: dict[int, PlaceNumbers] = {}
        for rows in rows_along(self.models, self.prompts, decoded.tokens, sampling=self.sampling):
            token = np.asarray(decoded.tokens[rows.sequence], dtype=np.int64)
            found[rows.sequence] = place_numbers(self.algorithm, rows.target, rows.draft, token)
        self._count()
        return _Written(
            decoded=decoded, numbers=_stacked([found[index] for index in range(len(self.prompts))])
        )

    def row_difference(self) -> float:
        """Return how far rows that the decoder used are from those of whole forward passes."""
        used = UsedRows()
        prompts = self.prompts[:_COMPARED_PROMPTS]
        decoded = self.decode(self.algorithm, 0, prompts=prompts, record=used)
        largest = 0.0
        for rows in rows_along(self.models, prompts, decoded.tokens, sampling=self.sampling):
            largest = max(largest, used.difference(rows))
        return largest

    def _count(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done)


def _run(reader: _Reader, written: _Written, prompt: int) -> Run:
    decoded = written.decoded
    run = outcomes_of_rounds(
        decoded.accepted_lengths[prompt],
        len(decoded.tokens[prompt]),
        draft_length=len(reader.kinds),
        bonus=reader.algorithm.whole_bonus,
    )
    for name, places in (("rejected", decoded.rejected_positions), ("bonus", decoded.bonus_positions)):
        if (np.flatnonzero(getattr(run, name)) + 1).tolist() != places[prompt]:
            raise RuntimeError(f"prompt {prompt}: the accepted lengths and the {name} positions contradict")
    return run


def _values(
    reader: _Reader,
    plain: list[_Written],
    own: list[_Written],
    runs: list[list[Run]],
    alpha: float,
    level: float,
) -> dict[str, Any]:
    """Return all variables but the difference of rows."""

    def flags(name: str) -> Bools:
        return np.array([[getattr(run, name) for run in row] for row in runs])

    rejected, bonus, tested = flags("rejected"), flags("bonus"), flags("tested")
    # The position of a bonus token lies after the last depth and is never asked for.
    kinds = np.array([*reader.kinds, 0])
    kind = kinds[np.array([[run.depth for run in row] for row in runs])]
    numbers = _stacked([written.numbers for written in own]).at(kind)
    chance = numbers.rejection
    conditional = np.where(tested, chance, np.nan)
    expected = np.where(tested, chance, 0.0).sum(axis=2)
    outcome = np.full(rejected.shape, OUTCOMES["accepted"])
    outcome[rejected], outcome[bonus] = OUTCOMES["rejected"], OUTCOMES["bonus"]
    rejections = rejected.sum(axis=2)
    calls = np.array([[len(run.start) for run in row] for row in runs])
    spread = np.where(tested, chance * (1 - chance), 0.0).sum()
    values: dict[str, Any] = {
        "outcome": outcome,
        "conditional_rejection": conditional,
        "rejections": rejections,
        "conditional_rejections": expected,
        "target_calls": calls,
    }
    flat = PlaceNumbers(
        **{field.name: getattr(numbers, field.name).reshape(-1) for field in fields(PlaceNumbers)}
    )
    rejection_bet = bet_on_rejections(chance[tested], rejected[tested], level=alpha / 2)
    token_bet = bet_on_tokens(flat, tested.reshape(-1), level=alpha / 2)
    values.update(
        rejection_p_value=rejection_bet.p_value,
        token_p_value=token_bet.p_value,
        detectable_factor=rejection_bet.detectable,
    )
    along = _stacked([written.numbers for written in plain])
    values["total_variation"] = along.total_variation
    values["theorem_1"] = along.total_variation.sum(axis=2)
    predicted = np.where(tested, chance, 0.0)
    counts = None
    if reader.lossless:
        laws = [
            path_law(written.numbers.kept, reader.kinds, bonus=reader.algorithm.whole_bonus)
            for written in plain
        ]
        predicted = np.array(
            [
                (law.tested * written.numbers.rejection).sum(axis=-1)
                for law, written in zip(laws, plain, strict=True)
            ]
        )
        counts = np.array([law.accepted_length_counts for law in laws])
        values["predicted_target_calls"] = counts.sum(axis=2)
    values["predicted_rejection"] = predicted
    values["predicted_rejections"] = predicted = predicted.sum(axis=2)
    accepted = [written.decoded.accepted_lengths for written in own]
    values.update(accepted_lengths(runs, accepted, counts, calls, reader.new_tokens, level))
    for name, array in (
        ("theorem_1", values["theorem_1"]),
        ("predicted_rejections", predicted),
        ("rejections", rejections),
        ("difference", rejections - predicted),
    ):
        values[f"{name}_estimate"] = entries_of(mean_over(by_prompt(array), level))
    paired = float((rejections - expected).mean())
    error = math.sqrt(float(spread)) / rejections.size
    width = _normal_quantile(level) * error
    values["paired_difference_estimate"] = [paired, error, paired - width, paired + width]
    seconds = np.array(
        [
            [[getattr(written.decoded.times, part) for part in PARTS] for written in side]
            for side in (plain, own)
        ]
    )
    speed_up = seconds[0].sum(axis=1) / seconds[1].sum(axis=1)
    values.update(
        seconds=seconds,
        speed_up=speed_up,
        speed_up_range=[float(np.median(speed_up)), math.nan, speed_up.min(), speed_up.max()],
    )
    return values


def _stacked(parts: list[PlaceNumbers]) -> PlaceNumbers:
    names = [field.name for field in fields(PlaceNumbers)]
    return PlaceNumbers(**{name: np.stack([getattr(part, name) for part in parts]) for name in names})


def _normal_quantile(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(0.5 + level / 2))


def _check_request(
    prompts: Sequence[Sequence[int]],
    algorithm: Algorithm,
    new_tokens: int,
    repeats: int,
    batch: int | None,
    alpha: float,
    level: float,
) -> None:
    if not prompts:
        raise InputError("prompts is empty; give at least one")
    for name, value in (("new_tokens", new_tokens), ("repeats", repeats), ("batch", batch)):
        if value is None and name == "batch":
            continue
        whole(name, value, 1)
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < 1:
        raise InputError(f"alpha is {alpha!r}; give a number between 0 and 1, such as 1e-6")
    check_confidence(level)
    if algorithm.plain:
        raise UnsupportedError(f"algorithm is {algorithm.label}, which drafts nothing; give one that does")
    # Refused before anything is decoded.
    check_algorithm(algorithm, new_tokens)
    check_measurable(algorithm, new_tokens)
