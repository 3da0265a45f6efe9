"""Table 1 of 2411.00841: Decoding-OPT against Decoding-UNO on real models, with the uncertainty it omits.

Protocol of the paper (section 4.2): for every prompt 500 comparisons; in each, both decoders write one
response and a scorer prefers one; Decoding-OPT wins the prompt with more than half of the preferences; the
win rate is the share of the prompts won. Here a comparison of equal scores is half a preference for each, a
prompt with exactly half is a tie, and ties do not count. Decoding-UNO has two readings: a rejected
token is replaced by a draw from the target row (the paper's text) or from the draft row (its printed
listing).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.algorithms import Algorithm, OverAcceptance, Residual, Speculative
from specsim.errors import InputError
from specsim.models.coins import check_seed
from specsim.models.decoding import decode
from specsim.models.sampling import Sampling
from specsim.models.scoring import Scorer
from specsim.support.arrays import Floats
from specsim.support.checks import whole
from specsim.support.hashes import derived_seed
from specsim.support.intervals import clopper_pearson, holm, mean_over, sign_test
from specsim.support.labelled import Variable, label, registry

if TYPE_CHECKING:
    import xarray


#: The paper's values.
EPSILONS = (0.1, 0.2, 0.4, 0.8)
COMPARISONS = 500
#: What loses against Decoding-OPT, by the residual it uses.
READINGS: dict[Residual, str] = {"target": "UNO from target", "draft": "UNO from draft"}

_CELL = ("cell",)
VARIABLES = registry((
    Variable("wins", _CELL, "Prompts won by Decoding-OPT.", dtype="int64"),
    Variable("losses", _CELL, "Prompts won by Decoding-UNO.", dtype="int64"),
    Variable("ties", _CELL, "Prompts won by neither.", dtype="int64"),
    Variable("win_rate", _CELL, "Prompts won by Decoding-OPT in percent of those not tied."),
    Variable("clopper_pearson", ("cell", "bound"),
             "Exact interval of the probability that a prompt is won."),
    Variable("p_value", _CELL, "Two-sided sign test over prompts."),
    Variable("p_holm", _CELL, "The same with Holm's correction over all cells."),
    Variable("preference", _CELL,
             "Share of comparisons that prefer Decoding-OPT, ties as half, mean over prompts."),
    Variable("preference_interval", ("cell", "bound"), "Interval of that mean over prompts (Student)."),
    Variable("preference_p_value", _CELL, "Two-sided t-test that the mean preference is 1/2."),
    Variable("preference_p_holm", _CELL, "The same with Holm's correction."),
    Variable("score_difference", _CELL,
             "Score of Decoding-OPT minus that of Decoding-UNO, mean over prompts."),
    Variable("score_difference_interval", ("cell", "bound"),
             "Interval of that mean over prompts (Student)."),
    Variable("preferences", ("cell", "prompt"),
             "Preferences for Decoding-OPT on each prompt, ties as half."),
    Variable("equal_scores", ("cell", "prompt"),
             "Comparisons with equal scores, usually of equal responses.", dtype="int64"),
    Variable("mean_score", ("decoder", "epsilon_level", "prompt"),
             "Mean score of the responses of each decoder."),
    Variable("rejection_rate", ("decoder", "epsilon_level"), "Rejections per emitted token."),
    Variable("lossless_score", ("prompt",),
             "Mean score of responses of lossless speculative decoding, to compare with."),
))  # fmt: skip


def decoders() -> dict[str, Residual]:
    """Return the residual of each decoder by its name."""
    return {"OPT": "optimal", **{name: residual for residual, name in READINGS.items()}}


def opt_against_uno(
    models: Any,
    prompts: Sequence[Sequence[int]],
    scorer: Scorer,
    *,
    new_tokens: int,
    epsilons: Sequence[float] = EPSILONS,
    comparisons: int = COMPARISONS,
    draft_length: int = 5,
    sampling: Sampling | None = None,
    eos: int | Sequence[int] | None = None,
    seed: int,
    batch: int = 128,
    level: float = 0.95,
    progress: Callable[[int], None] | None = None,
) -> xarray.Dataset:
    """Run the experiment behind Table 1 of 2411.00841 on a pair of models.

    The same responses of Decoding-OPT are compared with both readings of Decoding-UNO, so cells share their
    noise; Holm's correction is valid all the same.

    Parameters
    ----------
    models
        The pair, as `specsim.models.load_pair` returns it.
    prompts
        Token ids.
    scorer
        Gives each response a number; higher is better.
    new_tokens
        Tokens of a response, at most.
    epsilons
        Over-acceptance levels.
    comparisons
        For each prompt and cell; the paper has 500.
    draft_length
        Drafted tokens per target call; no bonus token, as in the paper.
    sampling
        Defaults to None, the models' own laws.
    eos
        Token or tokens that end a response. Defaults to None: all have `new_tokens`.
    seed
        0 to 2^64 - 1.
    batch
        Sequences decoded at once.
    level
        Confidence of each interval by itself.
    progress
        Called with the number of responses written so far, out of `responses`.

    Returns
    -------
    xarray.Dataset
        Described by `VARIABLES`; the coordinates ``judge`` (which reading loses) and ``epsilon`` name cells.

    Raises
    ------
    InputError
        No prompts, a number out of range, or as `decode` and the scorer.

    Examples
    --------
    >>> from specsim import models, parse_pair
    >>> target, draft = models.table_models(parse_pair("random:contexts=3,horizon=8,seed=1,stationary=yes"))
    >>> pair = models.LoadedPair(target=target, draft=draft)
    >>> found = models.opt_against_uno(
    ...     pair, [[0], [1]], models.LogLikelihood(pair.target), new_tokens=4,
    ...     seed=1, comparisons=2, epsilons=[0.1],
    ... )
    >>> found.sizes["epsilon_level"]
    1
    """
    check_seed(seed)
    _check(prompts, epsilons, comparisons, batch)
    sampling = Sampling() if sampling is None else sampling
    names, count = list(decoders()), len(prompts)
    done = 0

    def responses_of(algorithm: Algorithm, name: str) -> tuple[Floats, float]:
        """Return scores (prompts, comparisons) and rejections per emitted token."""
        nonlocal done
        scores = np.empty((count, comparisons))
        rejections = emitted = 0
        flat = [(prompt, draw) for prompt in range(count) for draw in range(comparisons)]
        for start in range(0, len(flat), batch):
            here = flat[start : start + batch]
            asked = [list(prompts[prompt]) for prompt, _ in here]
            decoded = decode(
                models,
                asked,
                algorithm=algorithm,
                new_tokens=new_tokens,
                sampling=sampling,
                seed=derived_seed(seed, f"table 1/{name}"),
                first_sequence=start,
                eos=eos,
            )
            values = scorer(asked, decoded.tokens)
            for (prompt, draw), value in zip(here, np.asarray(values, dtype=np.float64), strict=True):
                scores[prompt, draw] = value
            rejections += int(decoded.rejections.sum())
            emitted += int(decoded.lengths.sum())
            done += len(here)
            if progress is not None:
                progress(done)
        if not np.isfinite(scores).all():
            raise InputError(f"scorer {scorer.name} returned a score that is not finite; return numbers")
        return scores, rejections / emitted

    lossless, _ = responses_of(Speculative(draft_length=draft_length, bonus=False), "lossless")
    scores: dict[tuple[str, int], Floats] = {}
    rate = np.empty((len(names), len(epsilons)))
    for number, epsilon in enumerate(epsilons):
        for row, (name, residual) in enumerate(decoders().items()):
            algorithm = OverAcceptance(
                epsilon=float(epsilon), residual=residual, draft_length=draft_length, bonus=False
            )
            scores[name, number], rate[row, number] = responses_of(algorithm, f"{name}/{float(epsilon)!r}")
    cells = [(name, number) for name in READINGS.values() for number in range(len(epsilons))]
    values = compare_scores(
        [(scores["OPT", number], scores[name, number]) for name, number in cells], level=level
    )
    values["mean_score"] = np.array(
        [[scores[name, number].mean(axis=1) for number in range(len(epsilons))] for name in names]
    )
    values["rejection_rate"] = rate
    values["lossless_score"] = lossless.mean(axis=1)
    return label(
        VARIABLES,
        values,
        coordinates={
            "judge": ("cell", [name for name, _ in cells]),
            "epsilon": ("cell", [float(epsilons[number]) for _, number in cells]),
            "bound": ["low", "high"],
            "decoder": names,
            "epsilon_level": [float(epsilon) for epsilon in epsilons],
            "prompt": np.arange(count),
        },
        attributes={
            **provenance(models, sampling, seed),
            "paper": "arXiv 2411.00841, Table 1",
            "scorer": scorer.name,
            "comparisons": comparisons,
            "new_tokens": new_tokens,
            "draft_length": draft_length,
            "eos": "none" if eos is None else str(eos),
            "confidence": float(level),
        },
    )


def responses(prompts: int, epsilons: int, comparisons: int = COMPARISONS) -> int:
    """Return how many responses `opt_against_uno` writes."""
    return prompts * comparisons * (1 + len(decoders()) * epsilons)


def compare_scores(cells: Sequence[tuple[Floats, Floats]], *, level: float = 0.95) -> dict[str, Any]:
    """Return win rates, preferences and score differences with intervals and tests.

    cells: for each cell the scores of Decoding-OPT and of Decoding-UNO, shape ``(prompts, comparisons)``.
    level: confidence of each interval.
    """
    out: dict[str, list[Any]] = {
        name: []
        for name in (
            "wins", "losses", "ties", "win_rate", "clopper_pearson", "p_value", "preference",
            "preference_interval", "preference_p_value", "score_difference", "score_difference_interval",
            "preferences", "equal_scores",
        )
    }  # fmt: skip
    for first, second in cells:
        comparisons = first.shape[1]
        equal = (first == second).sum(axis=1)
        preferences = (first > second).sum(axis=1) + 0.5 * equal
        wins, losses = int((2 * preferences > comparisons).sum()), int((2 * preferences < comparisons).sum())
        decided = wins + losses
        low, high = clopper_pearson(wins, decided, level)
        preference = mean_over(preferences / comparisons, level)
        difference = mean_over((first - second).mean(axis=1), level)
        out["wins"].append(wins)
        out["losses"].append(losses)
        out["ties"].append(len(first) - decided)
        out["win_rate"].append(100 * wins / decided if decided else np.nan)
        out["clopper_pearson"].append([float(low), float(high)])
        out["p_value"].append(sign_test(wins, losses))
        out["preference"].append(preference.value)
        out["preference_interval"].append([preference.low, preference.high])
        apart = _t_test(preference.value - 0.5, preference.standard_error, len(first))
        out["preference_p_value"].append(apart)
        out["score_difference"].append(difference.value)
        out["score_difference_interval"].append([difference.low, difference.high])
        out["preferences"].append(preferences)
        out["equal_scores"].append(equal)
    values: dict[str, Any] = dict(out)
    values["p_holm"] = holm(out["p_value"])
    values["preference_p_holm"] = holm(out["preference_p_value"])
    return values


def provenance(models: Any, sampling: Sampling, seed: int) -> dict[str, Any]:
    """Return attributes that name the models and settings of a result."""
    import torch
    import transformers

    from specsim import __version__

    return {
        "specsim": __version__,
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
        "target": models.names[0],
        "draft": models.names[1],
        "vocabulary": int(models.vocabulary),
        "device": str(models.device),
        "sampling": f"temperature={sampling.temperature},top_k={sampling.top_k},top_p={sampling.top_p}",
        "seed": str(seed),
    }


def _t_test(difference: float, error: float, prompts: int) -> float:
    from scipy.special import stdtr

    if prompts < 2 or not np.isfinite(error):
        return 1.0
    if error == 0:
        # No spread to divide by: all prompts lie on one side, or all on one half.
        return sign_test(prompts, 0) if difference else 1.0
    return float(2 * stdtr(prompts - 1, -abs(difference) / error))


def _check(prompts: Sequence[Sequence[int]], epsilons: Sequence[float], comparisons: int, batch: int) -> None:
    if not prompts:
        raise InputError("prompts is empty; give at least one")
    if not epsilons or len(set(epsilons)) != len(epsilons):
        raise InputError(f"epsilons is {list(epsilons)!r}; give at least one, each once")
    for name, value in (("comparisons", comparisons), ("batch", batch)):
        whole(name, value, 1)
