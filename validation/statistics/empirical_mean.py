"""Means of bounded independent variables of unknown variance: the empirical Bernstein inequality."""

import math

import numpy as np
from numpy.typing import ArrayLike

from specsim.errors import InputError
from specsim.support.arrays import Floats
from specsim.validation.statistics.decision import MISS, Decision, check_level, check_runs, smallest_runs


def decide_mean_by_empirical_bernstein(
    *, total: ArrayLike, square_total: ArrayLike, runs: int, mean: ArrayLike, high: ArrayLike, alpha: float
) -> Decision:
    """Test means of independent vectors whose entries lie in [0, high], without knowing their variance.

    A deviation of ``sqrt(2 V L / n) + 7 high L / (3 (n - 1))`` with ``L = log(4 / level)`` and the sample
    variance V has probability at most ``level`` (0907.3740, Theorem 4, both signs); `level` is ``alpha``
    divided by the number of entries.

    Parameters
    ----------
    total, square_total
        Sums over the runs of each entry and of its square, integers of shape ``(entries,)``.
    runs
        Number of runs, at least 2.
    mean
        The null's means, shape ``(entries,)``.
    high
        Largest value of each entry, shape ``(entries,)``. Where it is 0 the total must be 0.
    alpha
        Level of the whole family.
    """
    _check_design(runs, alpha)
    sums, squares = np.asarray(total, dtype=np.float64), np.asarray(square_total, dtype=np.float64)
    means, top = np.asarray(mean, dtype=np.float64), np.asarray(high, dtype=np.float64)
    if not sums.shape == squares.shape == means.shape == top.shape:
        raise InputError("total, square_total, mean and high differ in shape; give one entry for each")
    if (sums > top * runs + 1e-9).any() or (squares > top * sums + 1e-9).any():
        raise InputError("total exceeds the promised range; raise high, or the tallies are wrong")
    observed = sums / runs
    variance = np.maximum(squares - sums**2 / runs, 0.0) / (runs - 1)
    gaps = np.maximum(np.abs(observed - means) - 1e-9 * np.maximum(1.0, top), 0.0)
    values = _p_values(gaps, variance, top, runs)
    where = int(np.lexsort((-gaps, values))[0])
    p_value = min(1.0, float(values[where]) * values.size)
    return Decision(
        agrees=p_value > alpha,
        p_value=p_value,
        observed=float(observed[where]),
        expected=float(means[where]),
        standard_error=math.sqrt(float(variance[where]) / runs),
        where=where,
    )


def min_discrepancy_of_mean_by_empirical_bernstein(
    *, runs: int, variance: ArrayLike, high: ArrayLike, alpha: float, miss: float = MISS
) -> float:
    """Return a discrepancy, of any entry, that is caught with probability at least ``1 - miss``.

    The alternative's variances are at most `variance`, shape ``(entries,)``. The sample standard deviation
    exceeds the true one by ``high sqrt(2 log(1/x) / (n - 1))`` with probability at most x (0907.3740,
    Theorem 10); half of `miss` goes there, half to the sampling error of the mean (Bernstein).
    """
    _check_design(runs, alpha)
    check_level("miss", miss)
    spread, top = np.asarray(variance, dtype=np.float64), np.asarray(high, dtype=np.float64)
    level = math.log(4 * spread.size / alpha)
    rest = math.log(2 / miss)
    deviation = np.minimum(np.sqrt(spread) + top * math.sqrt(2 * rest / (runs - 1)), top)
    threshold = deviation * math.sqrt(2 * level / runs) + 7 * top * level / (3 * (runs - 1))
    sampling = np.sqrt(2 * spread * rest / runs) + 2 * top * rest / (3 * runs)
    return float((threshold + sampling + 1e-9 * np.maximum(1.0, top)).max())


def min_runs_for_mean_by_empirical_bernstein(
    *, discrepancy: float, variance: ArrayLike, high: ArrayLike, alpha: float, miss: float = MISS
) -> int:
    """Return a number of runs, close to the smallest, at which `discrepancy` is caught in every entry."""
    return smallest_runs(
        lambda runs: min_discrepancy_of_mean_by_empirical_bernstein(
            runs=max(runs, 2), variance=variance, high=high, alpha=alpha, miss=miss
        ),
        discrepancy,
    )


def _p_values(gaps: Floats, variance: Floats, high: Floats, runs: int) -> Floats:
    """Return the smallest level at which each gap is beyond its threshold: a quadratic in sqrt(L)."""
    linear = np.sqrt(2 * variance / runs)
    square = 7 * high / (3 * (runs - 1))
    # The root of square * y^2 + linear * y = gap, written so that square = 0 needs no case of its own.
    denominator = linear + np.sqrt(linear**2 + 4 * square * gaps)
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.where(gaps > 0, np.where(denominator > 0, 2 * gaps / denominator, np.inf), 0.0)
    return np.minimum(1.0, 4 * np.exp(-(root**2)))


def _check_design(runs: int, alpha: float) -> None:
    check_runs(runs)
    check_level("alpha", alpha)
    if runs < 2:
        raise InputError(f"runs is {runs}; an estimate of the variance needs at least 2")
