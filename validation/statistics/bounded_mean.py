"""Means of bounded independent variables of known variance: Bennett's inequality."""

import math

from specsim.errors import InputError
from specsim.validation.statistics.decision import MISS, Decision, check_level, check_runs, smallest_runs

#: Added to every threshold, times the range: rounding of the expected value, which matters when nothing
#: varies.
SLACK = 1e-9


def bennett_h(u: float) -> float:
    """Return (1 + u) log(1 + u) - u, without cancellation for small u."""
    if u < 1e-3:
        return u * u * (0.5 - u * (1 / 6 - u * (1 / 12 - u / 20)))
    return (1 + u) * math.log1p(u) - u


def bennett_log_tail(deviation: float, runs: int, variance: float, bound: float) -> float:
    """Return the logarithm of Bennett's bound of P(mean - expectation >= deviation).

    For `runs` independent variables of at most this `variance` that exceed their expectation by at most
    `bound` (Boucheron, Lugosi, Massart, Concentration Inequalities, Theorem 2.9).
    """
    if deviation <= 0:
        return 0.0
    if variance <= 0 or bound <= 0:
        return -math.inf
    return -runs * variance / bound**2 * bennett_h(bound * deviation / variance)


def bennett_threshold(level: float, runs: int, variance: float, bound: float) -> float:
    """Return the deviation at which Bennett's bound of one tail equals `level`."""
    if variance <= 0 or bound <= 0:
        return 0.0
    from scipy.optimize import brentq

    wanted = -math.log(level) * bound**2 / (runs * variance)
    # h(u) >= u^2 / (2 + 2u/3), so the root lies below the positive root of that.
    top = wanted / 3 + math.sqrt(wanted**2 / 9 + 2 * wanted)
    root = brentq(lambda u: bennett_h(u) - wanted, 0.0, top * (1 + 1e-9) + 1e-300, xtol=1e-300, rtol=1e-13)
    return float(root) * variance / bound


def decide_mean_by_bennett(
    *, total: int, runs: int, mean: float, variance: float, low: float, high: float, alpha: float
) -> Decision:
    """Test that independent variables in [low, high] of known variance have the given mean.

    Two-sided, each side at ``alpha / 2``. False-alarm rate: at most `alpha`.

    Parameters
    ----------
    total
        Sum of the observations.
    runs
        Their number.
    mean, variance
        The null's, of one observation.
    low, high
        The range promised for one observation.
    alpha
        Level of the test.
    """
    _check(runs, mean, variance, low, high, alpha)
    if not low * runs - 1e-9 <= total <= high * runs + 1e-9:
        raise InputError(f"total is {total}; the sum of {runs} values in [{low}, {high}] cannot be")
    observed = total / runs
    gap = observed - mean
    bound = (high - mean) if gap > 0 else (mean - low)
    beyond = abs(gap) - SLACK * max(1.0, high - low)
    p_value = min(1.0, 2 * math.exp(bennett_log_tail(beyond, runs, variance, bound)))
    return Decision(
        agrees=p_value > alpha,
        p_value=p_value,
        observed=observed,
        expected=mean,
        standard_error=math.sqrt(max(variance, 0.0) / runs),
    )


def acceptance_half_width(
    *, runs: int, mean: float, variance: float, low: float, high: float, alpha: float
) -> float:
    """Return the largest deviation, of either sign, that `decide_mean_by_bennett` accepts."""
    _check(runs, mean, variance, low, high, alpha)
    widest = max(
        bennett_threshold(alpha / 2, runs, variance, high - mean),
        bennett_threshold(alpha / 2, runs, variance, mean - low),
    )
    return widest + SLACK * max(1.0, high - low)


def min_discrepancy_of_mean_by_bennett(
    *, runs: int, mean: float, variance: float, low: float, high: float, alpha: float, miss: float = MISS
) -> float:
    """Return a discrepancy of the mean that is caught with probability at least ``1 - miss``.

    The alternative's observations lie in [low, high] and have at most twice the null's variance (of at least
    1 / runs where the null does not vary). Parameters as in `decide_mean_by_bennett`.
    """
    check_level("miss", miss)
    width = acceptance_half_width(runs=runs, mean=mean, variance=variance, low=low, high=high, alpha=alpha)
    spread = max(2 * variance, 1 / runs)
    return width + bennett_threshold(miss, runs, spread, high - low)


def min_runs_for_mean_by_bennett(
    *,
    discrepancy: float,
    mean: float,
    variance: float,
    low: float,
    high: float,
    alpha: float,
    miss: float = MISS,
) -> int:
    """Return a number of runs, close to the smallest, at which `discrepancy` is caught."""
    return smallest_runs(
        lambda runs: min_discrepancy_of_mean_by_bennett(
            runs=runs, mean=mean, variance=variance, low=low, high=high, alpha=alpha, miss=miss
        ),
        discrepancy,
    )


def _check(runs: int, mean: float, variance: float, low: float, high: float, alpha: float) -> None:
    check_runs(runs)
    check_level("alpha", alpha)
    if not (math.isfinite(mean) and low - 1e-9 <= mean <= high + 1e-9):
        raise InputError(f"mean is {mean}; give a number in the range [{low}, {high}]")
    if not (math.isfinite(variance) and variance >= -1e-9):
        raise InputError(f"variance is {variance}; give a number of at least 0")
