"""Intervals and tests for counts and for means over clusters, shared by measurements on real data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from specsim.errors import InputError
from specsim.support.arrays import Floats

#: With fewer clusters than this an interval is not reliable.
FEWEST_CLUSTERS = 8


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its uncertainty.

    value: the estimate.
    standard_error: its standard error; nan where there is none.
    low, high: the interval.
    """

    value: float
    standard_error: float
    low: float
    high: float


def check_confidence(level: float) -> float:
    """Return the confidence level of an interval.

    InputError: it does not lie strictly between 0 and 1.
    """
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 1:
        raise InputError(f"level is {level!r}; give a number between 0 and 1, such as 0.95")
    return float(level)


def clopper_pearson(count: ArrayLike, trials: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the exact intervals of probabilities from independent trials.

    count, trials: whole numbers, any shape; where there are no trials the interval is [0, 1].
    level: confidence of each interval by itself.
    """
    from scipy.special import betaincinv

    hits, total = np.broadcast_arrays(
        np.asarray(count, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    )
    tail = (1 - check_confidence(level)) / 2
    some, all_of = hits > 0, hits >= total
    low = np.where(
        some, betaincinv(np.where(some, hits, 1.0), total - np.where(some, hits, 0.0) + 1, tail), 0
    )
    rest = np.where(all_of, 1.0, total - hits)
    high = np.where(all_of, 1.0, betaincinv(hits + 1, rest, 1 - tail))
    return np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)


def mean_over(values: ArrayLike, level: float = 0.95) -> Estimate:
    """Estimate a mean from independent values, with Student's interval.

    values: shape ``(clusters,)``.
    level: confidence; approximate for values far from normal and few clusters.
    """
    array = np.asarray(values, dtype=np.float64)
    return ratio_over(array, np.ones_like(array), level)


def ratio_over(numerators: ArrayLike, denominators: ArrayLike, level: float = 0.95) -> Estimate:
    """Estimate sum of numerators / sum of denominators from independent clusters.

    The standard error is that of the linearised ratio, with the factor clusters / (clusters - 1), and the
    interval is Student's: approximate, for clusters of any dependence inside.

    numerators, denominators: sums over each cluster, shape ``(clusters,)``.
    level: confidence.
    """
    from scipy.special import stdtrit

    check_confidence(level)
    top, bottom = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    clusters, total = len(top), float(bottom.sum())
    if clusters == 0 or total <= 0:
        return Estimate(value=math.nan, standard_error=math.nan, low=math.nan, high=math.nan)
    value = float(top.sum()) / total
    if clusters < 2:
        return Estimate(value=value, standard_error=math.nan, low=math.nan, high=math.nan)
    errors = top - value * bottom
    error = math.sqrt(float(errors @ errors) * clusters / (clusters - 1)) / total
    width = float(stdtrit(clusters - 1, 0.5 + level / 2)) * error
    return Estimate(value=value, standard_error=error, low=value - width, high=value + width)


def sign_test(wins: int, losses: int) -> float:
    """Return the two-sided p-value of wins and losses if both are equally likely; ties do not count."""
    from scipy.stats import binomtest

    if wins + losses == 0:
        return 1.0
    return float(binomtest(wins, wins + losses, 0.5, alternative="two-sided").pvalue)


def holm(p_values: Sequence[float] | Floats) -> Floats:
    """Return Holm's adjusted p-values, valid for any dependence between the tests."""
    raw = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(raw, kind="stable")
    scaled = raw[order] * np.arange(raw.size, 0, -1)
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted
