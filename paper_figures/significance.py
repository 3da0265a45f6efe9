"""What a win rate over a number of prompts can and cannot tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def sign_test(wins: int, prompts: int) -> float:
    """Return the two-sided p-value of `wins` out of `prompts` when either side is as likely to win."""
    from scipy.stats import binomtest

    return float(binomtest(wins, prompts, 0.5, alternative="two-sided").pvalue)


def wilson(wins: int, prompts: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of the probability of a win."""
    from scipy.stats import binomtest

    interval = binomtest(wins, prompts).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def clopper_pearson(wins: int, prompts: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) interval of the probability of a win."""
    from scipy.stats import binomtest

    interval = binomtest(wins, prompts).proportion_ci(level, method="exact")
    return float(interval.low), float(interval.high)


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Return Holm's adjusted p-values, valid for any dependence between the tests.

    The k-th smallest of n is multiplied by n - k + 1 and raised to the largest of those before it, at most 1.
    """
    raw = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(raw, kind="stable")
    scaled = raw[order] * np.arange(raw.size, 0, -1)
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def detectable_rate(prompts: int, *, level: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest win probability above one half that the two-sided sign test finds with `power`.

    Parameters
    ----------
    prompts
        Number of prompts.
    level
        Level of the test.
    power
        Probability of finding it.
    """
    from scipy.optimize import brentq
    from scipy.stats import binom

    wins = next(count for count in range(prompts // 2, prompts + 1) if sign_test(count, prompts) <= level)
    return float(brentq(lambda rate: binom.sf(wins - 1, prompts, rate) - power, 0.5, 1 - 1e-9))
