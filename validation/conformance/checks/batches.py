"""Checks of batches and seeds: rows of different pairs, ragged drafts, batch sizes, independence."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from specsim.support.arrays import Integers
from specsim.validation.conformance.calling import Caller
from specsim.validation.conformance.checks.base import (
    Look,
    Statistical,
    check,
    law_picture,
    lossless_only,
    make_look,
    needs_option,
    together,
    worst_cells,
)
from specsim.validation.conformance.checks.step import (
    STEPS,
    output_looks,
    owns_drafts,
    step_looks,
    step_probe,
)
from specsim.validation.conformance.evidence import mixture
from specsim.validation.conformance.independence import log_places
from specsim.validation.conformance.instances import Instance, tree_instance
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.probes import Models, PairProbe, StepProbe, spelled
from specsim.validation.conformance.results import Deviation
from specsim.validation.conformance.rules.lossless import ONE_HOT, RATIO
from specsim.validation.conformance.subjects import PROTOCOLS, Subject

#: Different pairs in a batch.
ROWS = 5


def batch_instances(lab: Laboratory, draft_length: int) -> list[Instance]:
    """Return instances of one size whose rows have nothing in common."""
    return [
        tree_instance(
            lab.instance_seed + 1 + row,
            vocabulary=lab.vocabulary,
            draft_length=draft_length,
            name=f"row {row}",
        )
        for row in range(ROWS)
    ]


def _needs_batch(subject: Subject) -> str:
    return "the sampler takes one row at a time" if subject.max_batch == 1 else ""


@check(
    "batch-rows",
    "every row of a batch follows its own pair of models",
    protocols=STEPS,
    why_not=_needs_batch,
    catches="rows, seeds or coins of another request",
)
def _batch_rows(lab: Laboratory) -> Statistical:
    length = min(2, lab.draft_length)
    instances = batch_instances(lab, length)
    limit = lab.subject.max_batch or 40 * ROWS
    large = max(2, min(limit, 40 * ROWS) // ROWS * ROWS)
    # In small calls the first row and the last one are a fifth of all.
    sizes = dict.fromkeys((large, min(large, ROWS)))
    probes, looks = [], []
    for batch in sizes:
        probe = step_probe(lab, f"batch rows {batch}", instances, length + 1, batch=batch)
        lab.learn(probe.effective, one_hot=probe.one_hot, own=owns_drafts(lab))
        probes.append(probe)
        looks += _row_looks(lab, probe, length + 1, f"calls of {batch} rows, ")
    return together(
        probes,
        looks,
        lab.side_samples,
        lambda: law_picture("joint law of the first tokens, one row of a mixed batch", looks[0]),
    )


def _row_looks(lab: Laboratory, probe: StepProbe, length: int, prefix: str) -> list[Look]:
    """Return the looks at every row of a mixed batch."""
    looks: list[Look] = []
    instances = probe.instances
    for index, instance in enumerate(instances):
        more = {}
        for other, name in ((index - 1, "the row before"), (index + 1, "the row after"), (0, "row 0")):
            neighbour = instances[other % ROWS]
            if neighbour is not instance:
                more[f"target rows of {name}"] = neighbour.target_law(length)
        words = f"{prefix}row {index}: "
        looks += output_looks(lab, probe, index, length, prefix=words, more=more)
        if lab.rule is not None and _rule_applies(lab.subject):
            looks += step_looks(lab, probe, index, lab.rule, ("acceptance",), prefix=words)
    return looks


def _many_rows(subject: Subject) -> str:
    return "the other checks have one row in each call" if subject.max_batch == 1 else ""


@check(
    "single-rows",
    "calls of one row, the size that is asked for most",
    protocols=STEPS,
    why_not=_many_rows,
    catches="axes of length one that vanish, random numbers that are drawn once for each call",
)
def _single_rows(lab: Laboratory) -> Statistical:
    instance = lab.main_instance
    probe = step_probe(lab, "single rows", [instance], min(instance.draft_length + 1, 3), batch=1)
    looks = output_looks(lab, probe, 0, probe.length)
    if lab.rule is not None and _rule_applies(lab.subject):
        looks += step_looks(lab, probe, 0, lab.rule, ("acceptance", "bonus"))
    return Statistical(
        probe=probe,
        looks=looks,
        planned=max(500, lab.side_samples // 8),
        picture=lambda: law_picture("joint law of the first tokens of single rows", looks[0]),
    )


def _no_ragged(subject: Subject) -> str:
    return _needs_batch(subject) or needs_option(subject, "draft_lengths") or lossless_only(subject)


def _rule_applies(subject: Subject) -> bool:
    return subject.draft != "never" or (subject.rule is not None and subject.rule.any_draft)


@check(
    "ragged",
    "rows of a batch with different numbers of drafted tokens, none included",
    protocols=("step",),
    why_not=_no_ragged,
    catches="padding verified as tokens, lengths of another row",
)
def _ragged(lab: Laboratory) -> Statistical:
    length = lab.draft_length
    instances = batch_instances(lab, length)[: length + 1]
    lengths = np.array([row % (length + 1) for row in range(len(instances))], dtype=np.int64)
    lengths = lengths[::-1].copy()
    if not (lengths > 0).any():
        lengths[:] = 1
    batch = 40 * len(instances)
    probe = step_probe(lab, "ragged", instances, 2 if length > 1 else 1, batch=batch, draft_lengths=lengths)
    looks = [_ragged_look(lab, probe, index, int(lengths[index])) for index in range(len(instances))]
    return Statistical(probe=probe, looks=looks, planned=lab.side_samples)


def _ragged_look(lab: Laboratory, probe: StepProbe, index: int, drafted: int) -> Look:
    law = probe.effective[index].target_law(probe.length)
    cells = np.arange(len(law))

    def name_cell(stratum: int, cell: int) -> str:
        return f"row with {drafted} drafted tokens: text {spelled(cell, lab.vocabulary, probe.length)}"

    return make_look(
        lambda table: table[None, :],
        law,
        {},
        lambda: probe.texts[index],
        name_cell,
        directions={"equal chances": np.full(len(law), 1 / len(law))},
        partitions=[cells // lab.vocabulary] if probe.length > 1 else [],
        tolerance=lab.tolerance,
    )


def _outcomes(
    lab: Laboratory, caller: Caller, apart: str, most: int | None = None
) -> Callable[[int], Callable[[int], Integers]]:
    """Return what makes calls of a number of rows that return what each row emitted, -1 after its end.

    Steps get the same draft in every row, so that a shared coin shows. It is certain: whatever a lossless
    sampler does with a draft, each place of the call then has the target's law.

    most: drafted tokens of steps and rounds. None: those of the main instance.
    """
    from specsim.validation.conformance.checks.contract import one_call

    rng = lab.rng(f"pairs {apart}")

    def emitted(result: tuple[Integers, ...]) -> Integers:
        if len(result) == 1:
            return result[0]
        found = blanked(result[-2], result[-1])
        missing = lab.draft_length + 1 - found.shape[1] if most else 0
        return np.pad(found, ((0, 0), (0, missing)), constant_values=-1)

    if lab.subject.protocol == "step":
        instance, path = lab.main_instance, telling_path(lab, one_hot=True)
        if most:
            # Both what is tested and what is drawn after it are often seen.
            path = np.full(most, lab.vocabulary - 1)
            rows = np.broadcast_to(np.array(TESTED[lab.vocabulary][1]) / 256, instance.target.shape)
            instance = replace(instance, target=rows, draft_length=most)

        def of_steps(size: int) -> Callable[[int], Integers]:
            drafted = np.repeat(path[None, :], size, axis=0)
            target, draft = instance.rows(drafted)
            draft = (np.arange(lab.vocabulary) == drafted[..., None]).astype(draft.dtype)
            rows = None if lab.subject.draft == "never" else draft
            return lambda seed: emitted(caller.step(target, rows, drafted, seed=seed))

        return of_steps

    def of_texts(size: int) -> Callable[[int], Integers]:
        if lab.subject.protocol == "tree":
            # Under one seed and the next, trees must be drawn anew: outcomes share what they were given.
            return lambda seed: emitted(one_call(lab, caller, rng, size)(seed))
        if lab.subject.protocol == "decoder":
            return text_tokens(lab, caller, size)
        instance = constant_rows(lab.main_instance, TESTED)
        instance = replace(instance, draft_length=most or instance.draft_length)
        models = Models(caller, [instance], np.zeros(size, dtype=np.int64))
        return lambda seed: emitted(caller.draft_and_verify(models, seed=seed)[1:])

    return of_texts


#: Tokens of the texts whose rows are compared: of several rounds.
COMPARED = 10
#: Places of two tokens of texts that are compared: the same, and, for streams that begin with seed + round or
#: seed + place, one to four apart.
SAME = tuple((place, place) for place in (0, 1, 3, 5, 7, 9))
SHIFTED = tuple((place + shift, place) for shift in (1, 2, 3, 4) for place in (0, 2, 4))
#: Target and draft rows after every text, by vocabulary, in units of 1/256. Random numbers that texts share
#: then show whatever was written before, and drafts are mostly accepted, so that rounds begin at one place.
CONSTANT = {
    2: ((144, 112), (120, 136)),
    3: ((112, 84, 60), (96, 72, 88)),
    4: ((100, 72, 52, 32), (84, 60, 68, 44)),
}


#: The same for one round, whose drafted tokens are often accepted with probability 1/2: tests that rows share
#: show.
TESTED = {
    2: ((160, 96), (64, 192)),
    3: ((96, 72, 88), (48, 32, 176)),
    4: ((72, 64, 40, 80), (32, 32, 32, 160)),
}


def constant_rows(instance: Instance, laws: Mapping[int, Any] = CONSTANT) -> Instance:
    """Return the instance with the same rows in every context."""
    shape = instance.target.shape
    target, draft = (np.broadcast_to(np.array(row) / 256, shape) for row in laws[shape[1]])
    return replace(instance, name="constant rows", target=target, draft=draft)


def text_tokens(lab: Laboratory, caller: Caller, size: int, seeds: bool = False) -> Callable[[int], Integers]:
    """Return a function of a seed that writes texts after one prompt, ``(size, COMPARED)``.

    seeds: whether each row has a seed.
    """
    from specsim.validation.conformance.checks.decoder import DecoderModels

    models = DecoderModels(caller, constant_rows(lab.main_instance))
    prompts = np.zeros((size, 3), dtype=np.int64)

    def call(seed: int) -> Integers:
        options = {"seeds": caller.row_seeds(size)} if seeds else None
        return caller.decode(models, prompts, COMPARED, seed=seed, options=options)[0]

    return call


def blanked(tokens: Integers, lengths: Integers) -> Integers:
    """Return tokens with -1 after the emitted ones of each row."""
    return np.where(np.arange(tokens.shape[1]) < lengths[:, None], tokens, -1)


def _make_pairs(lab: Laboratory, apart: str) -> Statistical:
    # Lengths say nothing: rows that are cut to the shortest one are lossless.
    last = 0 if lab.subject.protocol == "tree" else lab.draft_length
    places = [(place, place) for place in range(last + 1)]
    places += [(1, 0)] if apart == "seeds" else crossed_places(last)
    if lab.subject.protocol == "decoder":
        places = [*SAME, *(SHIFTED if apart == "seeds" else ())]
    caller = lab.caller(f"pairs {apart}")
    short = None
    if lab.subject.protocol in STEPS and lab.draft_length > 1 and apart == "rows":
        short = _outcomes(lab, caller, apart, most=1)
    probe = PairProbe(
        caller=caller,
        outcomes=_outcomes(lab, caller, apart),
        apart=apart,
        cells=lab.vocabulary,
        places=places,
        short=short,
    )
    alike = apart == "seeds" and not lossless_only(lab.subject)
    planned = lab.side_samples
    if apart == "seeds":
        # All ways come in the first thousands; what is seldom shared, `repeated-draws` finds.
        planned = max(planned // 2, min(planned, EVERY_WAY))
    return Pairs(probe=probe, looks=(), planned=planned, alike=alike)


def crossed_places(last: int) -> list[tuple[int, int]]:
    """Return places of two rows that are next to each other, and the first place with the last."""
    near = [pair for place in range(last) for pair in ((place, place + 1), (place + 1, place))]
    return [*near, *([(0, last), (last, 0)] if last > 1 else [])]


#: Observations in which every way to pair seeds comes several times.
EVERY_WAY = 1500

#: What begins the description of rows whose laws differ.
PLACES = "calls under seeds far apart"


@dataclass(kw_only=True, eq=False)
class Pairs(Statistical):
    """A procedure whose null is independence, whatever the laws of the two outcomes are.

    alike: whether all rows must have one law under seeds far apart, too. A row that ignores its seed always
        has the same outcome, and what is always the same is independent of everything.
    """

    alike: bool = False

    def log_e(self) -> float:
        """Return the logarithm of the e-value so far: the average over the ways to pair."""
        values = [*self._probe.evidence.log_e]
        if self.alike:
            values.append(log_places(self._probe.first))
        return mixture([(1 / len(values), float(value)) for value in values])

    def output_log_e(self) -> float:
        """Return the same: no rule is involved."""
        return self.log_e()

    def catches(self, log_threshold: float) -> float:
        """Return NaN: no distance that is always caught is known."""
        return math.nan

    def looks_like(self, count: int = 3) -> tuple[str, ...]:
        """Return what the two outcomes often are, and how often they are so if one is of another call."""
        way = self._worst()
        if way is None:
            frequent, row, token, others = self._oddest_row()
            return (
                f"{PLACES}: the first token of row {row} is {token} in {frequent:.3f} of them, "
                f"that of other rows in {others:.3f}",
            )
        counts, law = self._probe.evidence.counts[way], self._probe.evidence.expected(way)
        seen = counts / max(int(counts.sum()), 1)
        one, other = (int(n) for n in np.unravel_index(np.abs(seen - law).argmax(), law.shape))
        words, places = "equal outcomes", np.eye(len(law), dtype=bool)
        if abs(np.trace(seen - law)) < abs(seen[one, other] - law[one, other]):
            # What is shared is used in another way by either side.
            words = f"tokens {one} and {other}"
            places = np.zeros_like(places)
            places[one, other] = True
        rates = f"{seen[places].sum():.3f} of the pairs, in {law[places].sum():.3f} across calls"
        return (f"{self._probe.name(way)}: {words} in {rates}",)

    def deviations(self, alpha: float, count: int = 4) -> tuple[Deviation, ...]:
        """Return the pairs that differ most from those of outcomes of different repetitions."""
        way = self._worst()
        if way is None:
            return self._rows_that_differ(alpha, count)
        cells = self._probe.cells

        def name_pair(_: int, cell: int) -> str:
            one, other = (f"token {token}" for token in divmod(cell, cells))
            return f"{self._probe.name(way)}: one has {one}, the other {other}"

        counts, law = self._probe.evidence.counts[way], self._probe.evidence.expected(way)
        return worst_cells(counts.reshape(1, -1), law.reshape(1, -1), name_pair, alpha, count)

    def _worst(self) -> int | None:
        """Return the most telling way to pair; None if the laws of rows say more."""
        values = self._probe.evidence.log_e
        way = int(np.argmax(values))
        return None if self.alike and log_places(self._probe.first) > values[way] else way

    def _oddest_row(self) -> tuple[float, int, int, float]:
        """Return frequency, row and token that differ most from the other rows, and theirs."""
        counts = self._probe.first
        own = counts / counts.sum(axis=1, keepdims=True)
        others = counts.sum(axis=0) - counts
        others = others / others.sum(axis=1, keepdims=True)
        row, token = (int(n) for n in np.unravel_index((own - others).argmax(), counts.shape))
        return float(own[row, token]), row, token, float(others[row, token])

    def _rows_that_differ(self, alpha: float, count: int) -> tuple[Deviation, ...]:
        counts = self._probe.first
        law = np.broadcast_to(counts.sum(axis=0) / counts.sum(), counts.shape)

        def name_cell(row: int, token: int) -> str:
            return f"{PLACES}: row {row} begins with {token}"

        return worst_cells(counts, law, name_cell, alpha, count)

    @property
    def _probe(self) -> PairProbe:
        assert isinstance(self.probe, PairProbe)
        return self.probe


def telling_path(lab: Laboratory, *, one_hot: bool = False) -> Integers:
    """Return the draft whose outcome is most uncertain, with `one_hot` where each draft was certain."""
    instance = lab.lawful(lab.main_instance)
    one_hot = one_hot or lab.subject.draft == "never"
    rule = lab.rule_or_none(one_hot=one_hot) or (ONE_HOT if one_hot else RATIO)
    joint = lab.joint(rule, instance, one_hot=one_hot)
    law = joint / np.maximum(joint.sum(axis=(1, 2), keepdims=True), 1e-300)
    entropy = -(law * np.log(np.maximum(law, 1e-300))).sum(axis=(1, 2))
    return instance.paths[int(entropy.argmax())]


_independence = partial(check, kind="independence", protocols=tuple(PROTOCOLS))
_rows = _independence(
    "batch-independence", "rows of a batch are independent, whatever their distance",
    why_not=_needs_batch, catches="one coin for all rows",
)(partial(_make_pairs, apart="rows"))  # fmt: skip
_seeds = _independence(
    "seed-independence", "seeds near each other or far apart give independent outputs, rows crossed too",
    catches="seeds ignored or truncated, seed + row, streams that overlap",
)(partial(_make_pairs, apart="seeds"))  # fmt: skip

CHECKS = (_seeds, _single_rows, _batch_rows, _ragged, _rows)
