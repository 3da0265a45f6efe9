"""What a win rate over a number of prompts can and cannot tell."""

from __future__ import annotations

from specsim.support.intervals import sign_test


def wilson(wins: int, prompts: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of the probability of a win."""
    from scipy.stats import binomtest

    interval = binomtest(wins, prompts).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def detectable_rate(prompts: int, *, level: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest win probability above one half that the two-sided sign test finds with `power`.

    prompts: number of prompts.
    level: level of the test.
    power: probability of finding it.
    """
    from scipy.optimize import brentq
    from scipy.stats import binom

    wins = next(
        count for count in range(prompts // 2, prompts + 1) if sign_test(count, prompts - count) <= level
    )
    return float(brentq(lambda rate: binom.sf(wins - 1, prompts, rate) - power, 0.5, 1 - 1e-9))
