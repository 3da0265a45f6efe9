"""Probabilities against counts: exact two-sided binomial tails, Bonferroni over a family."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from specsim.errors import InputError
from specsim.support.arrays import Floats
from specsim.validation.statistics.decision import MISS, Decision, check_level, check_runs, smallest_runs


def lower_tail(count: ArrayLike, runs: int, probability: ArrayLike) -> Floats:
    """Return P(X <= count) for X binomial; count -1 gives 0."""
    from scipy.special import betaincc

    x, p = np.broadcast_arrays(np.asarray(count, dtype=np.float64), np.asarray(probability, dtype=np.float64))
    inside = (x >= 0) & (x < runs)
    safe = np.where(inside, x, 0.0)
    return np.where(inside, betaincc(safe + 1, runs - safe, p), np.where(x < 0, 0.0, 1.0))


def upper_tail(count: ArrayLike, runs: int, probability: ArrayLike) -> Floats:
    """Return P(X >= count) for X binomial; count runs + 1 gives 0."""
    from scipy.special import betainc

    x, p = np.broadcast_arrays(np.asarray(count, dtype=np.float64), np.asarray(probability, dtype=np.float64))
    inside = (x > 0) & (x <= runs)
    safe = np.where(inside, x, 1.0)
    return np.where(inside, betainc(safe, runs - safe + 1, p), np.where(x <= 0, 1.0, 0.0))


def two_sided_p_values(count: ArrayLike, runs: int, probability: ArrayLike) -> Floats:
    """Return twice the smaller tail, at most 1."""
    smaller = np.minimum(lower_tail(count, runs, probability), upper_tail(count, runs, probability))
    return np.minimum(1.0, 2 * smaller)


def critical_counts(runs: int, probability: ArrayLike, alpha: float) -> tuple[Floats, Floats]:
    """Return the last count rejected from below (or -1) and the first from above (or runs + 1)."""
    p = np.asarray(probability, dtype=np.float64)
    # Bernstein: counts further than this from the mean are rejected, so the search may start there.
    level = math.log(2 / alpha)
    width = np.sqrt(2 * runs * p * (1 - p) * level) + 2 * level / 3
    low = np.maximum(-1.0, np.floor(runs * p - width) - 1)
    high = np.minimum(float(runs), np.ceil(runs * p))
    while np.any(high - low > 1):
        middle = np.floor((low + high) / 2)
        rejected = 2 * lower_tail(middle, runs, p) <= alpha
        low = np.where((high - low > 1) & rejected, middle, low)
        high = np.where((high - low > 1) & ~rejected, middle, high)
    below = low
    low = np.maximum(0.0, np.floor(runs * p))
    high = np.minimum(runs + 1.0, np.ceil(runs * p + width) + 1)
    while np.any(high - low > 1):
        middle = np.ceil((low + high) / 2)
        rejected = 2 * upper_tail(middle, runs, p) <= alpha
        high = np.where((high - low > 1) & rejected, middle, high)
        low = np.where((high - low > 1) & ~rejected, middle, low)
    return below, high


def detectable_by_binomial_tails(
    runs: int, probability: ArrayLike, alpha: float, miss: float = MISS
) -> Floats:
    """Return, for each probability tested at level `alpha`, the smallest discrepancy surely noticed.

    A true probability that differs by that much or more, on either side, is rejected with probability at
    least ``1 - miss``. A side where no probability is left in [0, 1] does not count.
    """
    from scipy.special import betaincinv

    p = np.atleast_1d(np.asarray(probability, dtype=np.float64))
    below, above = critical_counts(runs, p, alpha)
    possible = above <= runs
    needed = np.where(possible, above, runs)
    # A side on which nothing is ever rejected needs a discrepancy too large to exist there.
    up = np.where(possible, betaincinv(needed, runs - needed + 1, 1 - miss) - p, np.nextafter(1 - p, 2))
    possible = below >= 0
    needed = np.where(possible, below, 0.0)
    down = np.where(possible, p - betaincinv(needed + 1, runs - needed, miss), np.nextafter(p, 2))
    return np.maximum(np.where(p < 1, up, 0.0), np.where(p > 0, down, 0.0))


def decide_probability_by_binomial_tails(
    *, count: ArrayLike, runs: int, probability: ArrayLike, alpha: float
) -> Decision:
    """Test that counts of `runs` independent trials have the given probabilities.

    Each member of the family is tested by doubling the smaller exact binomial tail, at ``alpha`` divided by
    the number of members. False-alarm rate: at most `alpha`, for any dependence between the members.

    Parameters
    ----------
    count
        Integers in 0..runs, any shape.
    runs
        Number of trials, at least 1.
    probability
        The null's probabilities, same shape.
    alpha
        Level of the whole family.

    Returns
    -------
    Decision
        Values of the member with the smallest p-value; ``p_value`` includes the Bonferroni factor.
    """
    check_runs(runs)
    check_level("alpha", alpha)
    counts = np.asarray(count)
    p = _probabilities(probability)
    if counts.shape != p.shape:
        raise InputError(f"count has shape {counts.shape} and probability {p.shape}; they must be equal")
    if not np.issubdtype(counts.dtype, np.integer):
        raise InputError(f"count has type {counts.dtype}; give integers")
    if counts.min() < 0 or counts.max() > runs:
        raise InputError(f"count is outside 0..{runs}; counts of {runs} runs cannot be")
    values = two_sided_p_values(counts, runs, p).ravel()
    where = worst_member(values, counts.ravel() / runs - p.ravel(), p.ravel())
    expected = float(p.flat[where])
    p_value = min(1.0, float(values[where]) * values.size)
    return Decision(
        agrees=p_value > alpha,
        p_value=p_value,
        observed=int(counts.flat[where]) / runs,
        expected=expected,
        standard_error=math.sqrt(expected * (1 - expected) / runs),
        where=where,
    )


def min_discrepancy_of_probability_by_binomial_tails(
    *, runs: int, probability: ArrayLike, alpha: float, miss: float = MISS
) -> float:
    """Return the smallest discrepancy, of any member of the family, caught with probability ``1 - miss``.

    The power is exact, not a bound. Parameters as in `decide_probability_by_binomial_tails`.
    """
    check_runs(runs)
    check_level("alpha", alpha)
    check_level("miss", miss)
    p = _probabilities(probability)
    return float(detectable_by_binomial_tails(runs, p, alpha / p.size, miss).max())


def min_runs_for_probability_by_binomial_tails(
    *, discrepancy: float, probability: ArrayLike, alpha: float, miss: float = MISS
) -> int:
    """Return a number of runs, close to the smallest, at which `discrepancy` is caught in every member."""
    check_level("alpha", alpha)
    check_level("miss", miss)
    p = _probabilities(probability)
    # Spread is largest nearest one half; zero and one need their own runs.
    flat = p.ravel()
    chosen = np.unique(np.concatenate([flat[[np.abs(flat - 0.5).argmin()]], flat[(flat <= 0) | (flat >= 1)]]))
    share = alpha / p.size

    def near(runs: int) -> float:
        return float(detectable_by_binomial_tails(runs, chosen, share, miss).max())

    runs = smallest_runs(near, discrepancy)

    def all_of(count: int) -> float:
        return float(detectable_by_binomial_tails(count, flat, share, miss).max())

    while all_of(runs) > discrepancy:
        runs += 1 + runs // 200
    return runs


def worst_member(p_values: Floats, differences: Floats, probability: Floats) -> int:
    """Return the index of the smallest p-value; ties (all zero, say) go to the largest standardised gap."""
    spread = np.sqrt(np.maximum(probability * (1 - probability), 1e-300))
    return int(np.lexsort((-np.abs(differences) / spread, p_values))[0])


def _probabilities(values: Any) -> Floats:
    p = np.asarray(values, dtype=np.float64)
    if p.size == 0:
        raise InputError("probability is empty; give at least one")
    if not (np.isfinite(p).all() and p.min() >= -1e-9 and p.max() <= 1 + 1e-9):
        raise InputError("probability has an entry outside [0, 1]; give probabilities")
    return np.clip(p, 0.0, 1.0)
