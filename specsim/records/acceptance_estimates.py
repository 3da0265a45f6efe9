"""Estimates from the accepted lengths of rounds: their law, acceptance by position, block efficiency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from specsim.errors import InputError, TooLargeError
from specsim.support.arrays import Integers
from specsim.support.intervals import FEWEST_CLUSTERS, Estimate, check_confidence, clopper_pearson, ratio_over
from specsim.support.labelled import Variable, label, registry

if TYPE_CHECKING:
    import xarray


_MOST_CELLS = 2**28

#: The variables of `acceptance_estimates`.
VARIABLES = registry((
    Variable("accepted_length_count", ("accepted",),
             "Number of rounds with k accepted drafted tokens.", dtype="int64"),
    Variable("accepted_length_law", ("accepted",), "Share of the rounds with k accepted drafted tokens."),
    Variable("accepted_length_interval", ("accepted", "bound"), "Confidence interval of that share."),
    Variable("tested_count", ("draft_position",),
             "Rounds that tested the drafted token at this position, having accepted all before it.",
             dtype="int64"),
    Variable("acceptance", ("draft_position",),
             "Share of the tested tokens at this position that were accepted."),
    Variable("acceptance_interval", ("draft_position", "bound"), "Confidence interval of that share."),
    Variable("mean_accepted", (), "Accepted drafted tokens per round."),
    Variable("mean_accepted_interval", ("bound",), "Its confidence interval."),
    Variable("block_efficiency", (), "Emitted tokens per target call."),
    Variable("block_efficiency_interval", ("bound",), "Its confidence interval."),
    Variable("rejection_rate", (), "Rejected tokens per tested token."),
    Variable("rejection_rate_interval", ("bound",), "Its confidence interval."),
))  # fmt: skip


def acceptance_estimates(
    accepted: ArrayLike,
    drafted: ArrayLike,
    *,
    request: ArrayLike | None = None,
    count: ArrayLike | None = None,
    bonus: bool = True,
    level: float = 0.95,
    attributes: dict[str, Any] | None = None,
) -> xarray.Dataset:
    """Estimate the accepted-length law, acceptance by position and block efficiency from rounds.

    With at least 8 requests, intervals treat the requests as independent and allow for any dependence
    between the rounds of one request (linearised ratios, Student's quantile; approximate). With fewer, or
    none named, they treat the rounds as independent: exact (Clopper-Pearson) for shares, Student's for
    means. The attribute ``intervals`` says which. Every interval has the level by itself.

    Parameters
    ----------
    accepted
        Accepted drafted tokens of each round, shape ``(rounds,)``.
    drafted
        Drafted tokens of each round, or one number for all.
    request
        Which request each round belongs to: whole numbers from 0. Defaults to None (unknown).
    count
        How many such rounds each entry stands for. Defaults to None (one).
    bonus
        Whether a round whose whole draft is accepted emits one more token.
    level
        Confidence of each interval.
    attributes
        More attributes of the result.

    Returns
    -------
    xarray.Dataset
        Described by `specsim.records.acceptance_estimates.VARIABLES`.

    Raises
    ------
    InputError
        No round, or a round that accepts more than it drafts.

    Examples
    --------
    >>> from specsim import acceptance_estimates
    >>> found = acceptance_estimates([3, 4, 0, 4], 4)
    >>> float(found.block_efficiency)
    3.75
    """
    check_confidence(level)
    lengths = _whole_numbers("accepted", accepted)
    if lengths.ndim != 1:
        raise InputError(f"accepted has shape {lengths.shape}; give one number for each round")
    drafts = _like("drafted", drafted, lengths)
    weights = _like("count", 1 if count is None else count, lengths)
    if lengths.size == 0 or not weights.any():
        raise InputError("accepted is empty; give at least one round")
    wrong = np.flatnonzero((lengths < 0) | (lengths > drafts) | (weights < 0))
    if len(wrong):
        at = int(wrong[0])
        raise InputError(
            f"round {at + 1} accepts {lengths[at]} of {drafts[at]} drafted tokens; "
            "give counts from 0 to drafted"
        )
    _check_sizes(drafts, weights)
    groups = _groups(lengths, request)
    clusters = int(groups.max()) + 1
    clustered = request is not None and clusters >= FEWEST_CLUSTERS
    sums = _Sums(lengths, drafts, weights, groups, clusters, bonus)
    longest = int(drafts.max())
    values: dict[str, Any] = {
        "accepted_length_count": sums.lengths.sum(axis=0),
        "tested_count": sums.tested.sum(axis=0),
    }
    rounds = sums.rounds
    _put(values, "accepted_length_law", "accepted_length_interval", sums.lengths, rounds, clustered, level)
    _put(values, "acceptance", "acceptance_interval", sums.passed, sums.tested, clustered, level)
    _put(
        values, "rejection_rate", "rejection_rate_interval", sums.rejected, sums.all_tested, clustered, level
    )
    for name, total in (("mean_accepted", sums.accepted), ("block_efficiency", sums.emitted)):
        estimate = (
            ratio_over(total, rounds, level)
            if clustered
            else _by_rounds(name, lengths, drafts, weights, bonus, level)
        )
        values[name] = estimate.value
        values[f"{name}_interval"] = [estimate.low, estimate.high]
    method = (
        f"{clusters} requests independent, rounds within one not; approximate"
        if clustered
        else "rounds independent; exact for shares, approximate for means"
    )
    return label(
        VARIABLES,
        values,
        coordinates={
            "accepted": np.arange(longest + 1),
            "draft_position": np.arange(1, longest + 1),
            "bound": ["low", "high"],
        },
        attributes={
            "rounds": int(weights.sum()),
            "requests": clusters if request is not None else 0,
            "level": float(level),
            "bonus": int(bonus),
            "intervals": method,
            **(attributes or {}),
        },
    )


def _whole_numbers(field: str, values: ArrayLike) -> Integers:
    found = np.asarray(values)
    if found.size == 0:
        return found.astype(np.int64)
    if found.dtype.kind not in "iu" or (
        found.dtype.kind == "u" and int(found.max()) > np.iinfo(np.int64).max
    ):
        raise InputError(f"{field} is not an array of whole numbers below 2^63; give int64")
    return found.astype(np.int64)


def _like(field: str, values: ArrayLike, lengths: Integers) -> Integers:
    found = _whole_numbers(field, values)
    if found.shape not in ((), lengths.shape):
        raise InputError(
            f"{field} has shape {found.shape}; give one number, or one for each of {len(lengths)}"
        )
    return np.broadcast_to(found, lengths.shape)


def _check_sizes(drafts: Integers, weights: Integers) -> None:
    """Refuse what would not fit in 64 bits or in memory; every sum is at most this one."""
    tokens = sum(count * (draft + 1) for count, draft in zip(weights.tolist(), drafts.tolist(), strict=True))
    if tokens >= 2**62:
        raise InputError(f"count adds up to {tokens} tokens; give a log of fewer than 2^62")
    longest = int(drafts.max())
    if len(drafts) * longest > _MOST_CELLS:
        raise TooLargeError(
            f"{len(drafts)} rounds with drafts of up to {longest} tokens do not fit in memory; "
            "add equal rounds up by count"
        )


class _Sums:
    """Sums over the rounds of each cluster."""

    def __init__(
        self,
        lengths: Integers,
        drafts: Integers,
        weights: Integers,
        groups: Integers,
        clusters: int,
        bonus: bool,
    ) -> None:
        longest = int(drafts.max())
        self.lengths = np.zeros((clusters, longest + 1), dtype=np.int64)
        np.add.at(self.lengths, (groups, lengths), weights)
        places = np.arange(1, longest + 1)
        tested = (lengths[:, None] >= places - 1) & (drafts[:, None] >= places)
        passed = lengths[:, None] >= places
        self.tested = np.zeros((clusters, longest), dtype=np.int64)
        self.passed = np.zeros((clusters, longest), dtype=np.int64)
        np.add.at(self.tested, groups, tested * weights[:, None])
        np.add.at(self.passed, groups, passed * weights[:, None])
        self.rounds = self._total(groups, weights, clusters)
        self.accepted = self._total(groups, weights * lengths, clusters)
        self.emitted = self._total(groups, weights * _emitted(lengths, drafts, bonus), clusters)
        self.rejected = self._total(groups, weights * (lengths < drafts), clusters)
        self.all_tested = self.tested.sum(axis=1)

    @staticmethod
    def _total(groups: Integers, values: Integers, clusters: int) -> Integers:
        out = np.zeros(clusters, dtype=np.int64)
        np.add.at(out, groups, values)
        return out


def _emitted(lengths: Integers, drafts: Integers, bonus: bool) -> Integers:
    return lengths + (np.ones_like(lengths) if bonus else (lengths < drafts).astype(np.int64))


def _groups(lengths: Integers, request: ArrayLike | None) -> Integers:
    if request is None:
        return np.zeros(lengths.shape, dtype=np.int64)
    groups = np.asarray(request)
    if groups.shape != lengths.shape:
        raise InputError(f"request has shape {groups.shape}; give one for each of the {len(lengths)} rounds")
    return np.unique(groups, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _put(
    values: dict[str, Any],
    name: str,
    interval: str,
    hits: Integers,
    trials: Integers,
    clustered: bool,
    level: float,
) -> None:
    """Add shares of hits among trials, given for each cluster, and their intervals."""
    total = hits.sum(axis=0)
    of = np.broadcast_to(trials.sum(axis=0), total.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        values[name] = np.where(of > 0, total / np.maximum(of, 1), np.nan)
    if not clustered:
        values[interval] = np.stack(clopper_pearson(total, of, level), axis=-1)
        return
    columns = hits.reshape(len(hits), -1)
    below = np.broadcast_to(trials.reshape(len(hits), -1), columns.shape)
    bounds = []
    for column, base in zip(columns.T, below.T, strict=True):
        estimate = ratio_over(column, base, level)
        low, high = max(0.0, estimate.low), min(1.0, estimate.high)
        if estimate.standard_error == 0 or not np.isfinite(estimate.low):
            # Nothing varies between the requests: only the exact interval is left to say something.
            exact = clopper_pearson(column.sum(), base.sum(), level)
            low, high = float(exact[0]), float(exact[1])
        bounds.append((low, high))
    values[interval] = np.array(bounds).reshape(*total.shape, 2)


def _by_rounds(
    name: str, lengths: Integers, drafts: Integers, weights: Integers, bonus: bool, level: float
) -> Estimate:
    """Estimate a mean over rounds taken as independent; each entry stands for several equal rounds."""
    from scipy.special import stdtrit

    value = lengths if name == "mean_accepted" else _emitted(lengths, drafts, bonus)
    rounds = int(weights.sum())
    mean = float((weights * value).sum()) / rounds
    if rounds < 2:
        return Estimate(value=mean, standard_error=np.nan, low=np.nan, high=np.nan)
    variance = float((weights * (value - mean) ** 2).sum()) / (rounds - 1)
    error = float(np.sqrt(variance / rounds))
    width = float(stdtrit(rounds - 1, 0.5 + level / 2)) * error
    return Estimate(value=mean, standard_error=error, low=mean - width, high=mean + width)
