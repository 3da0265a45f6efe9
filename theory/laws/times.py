"""Time: expectations and laws of what decoding takes by a clock, and speed-ups over plain decoding.

The time of a run is the sum over its rounds of what a round costs that starts there, so that its expectation
is a sum over `round_counts`, and its law is that of a count in integer ticks. Two numbers are never confused:
`speed_up` divides expectations, as a server's throughput does; `mean_speed_up` is the expectation of the
ratio of one run, and is larger.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np

from specsim.algorithms import Algorithm
from specsim.clocks import CostModel, check_clock, to_ticks
from specsim.errors import InputError
from specsim.support.arrays import Array
from specsim.support.checks import whole
from specsim.theory.arithmetic.pair_tables import Pair, tables_of
from specsim.theory.laws.laws import Laws


def expected_time(
    pair: Pair,
    algorithm: Algorithm,
    clock: CostModel,
    *,
    batch: int = 1,
    horizon: int | None = None,
    exact: bool = False,
) -> Any:
    """Return the expected time of a run, in target calls.

    Parameters
    ----------
    pair, algorithm
        What decodes.
    clock
        What it costs.
    batch
        Sequences that share each call; the time is that of one sequence which never waits for another.
    horizon, exact
        As in `expected_rejections`.

    Examples
    --------
    >>> from specsim import Clock, Speculative, paper_pair, theory
    >>> round(theory.expected_time(paper_pair(50), Speculative(draft_length=4), Clock(draft=0.1)), 4)
    27.1327
    """
    check_clock(clock)
    counts = Laws(pair, algorithm, horizon=horizon, exact=exact).round_counts().sum(axis=1)
    times = clock.round_times(algorithm, len(counts), batch)
    if exact:
        return sum((count * time for count, time in zip(counts.tolist(), times, strict=True)), Fraction(0))
    return float(counts @ np.array(times, dtype=np.float64))


def speed_up(
    pair: Pair,
    algorithm: Algorithm,
    clock: CostModel,
    *,
    batch: int = 1,
    horizon: int | None = None,
    exact: bool = False,
) -> Any:
    """Return the time of plain decoding over the expected time: a ratio of expectations.

    Parameters are those of `expected_time`.

    Examples
    --------
    >>> from specsim import Clock, Speculative, paper_pair, theory
    >>> round(theory.speed_up(paper_pair(50), Speculative(draft_length=4), Clock(draft=0.1)), 4)
    1.8428
    """
    check_clock(clock)
    horizon = tables_of(pair).check_horizon(horizon)
    time = expected_time(pair, algorithm, clock, batch=batch, horizon=horizon, exact=exact)
    plain = sum(clock.plain_times(horizon, batch))
    return (plain if exact else float(plain)) / time


def stationary_speed_up(
    pair: Pair,
    algorithm: Algorithm,
    clock: CostModel,
    *,
    batch: int = 1,
    exact: bool = False,
) -> Any:
    """Return the limit of `speed_up` for very long runs of a stationary pair.

    Parameters are those of `expected_time`; costs are those of the first round, so that a clock that
    depends on the length of the context is refused.

    Examples
    --------
    >>> from specsim import Clock, Speculative, parse_pair, theory
    >>> pair = parse_pair("random:contexts=3,horizon=9,seed=1,stationary=yes")
    >>> round(theory.stationary_speed_up(pair, Speculative(draft_length=2), Clock(draft=0.1)), 4)
    2.0103
    """
    check_clock(clock)
    tokens, _ = Laws(pair, algorithm, exact=exact).long_run()
    structure = algorithm.structure(4096)
    time = clock.round_time(structure, batch)
    if time != clock.round_time(structure, batch, 1000):
        raise InputError("the clock depends on the length of the context; give a horizon, not the long run")
    ratio = clock.target_time(1, batch) / time
    return tokens * ratio if exact else float(tokens) * float(ratio)


@dataclass(frozen=True)
class TimeLaw:
    """The law of the time of a run.

    Attributes
    ----------
    unit
        Length of one tick, in target calls.
    law
        Probability of each number of ticks, from 0 on.

    Examples
    --------
    >>> from fractions import Fraction
    >>> import numpy as np
    >>> law = TimeLaw(Fraction(1, 10), np.array([0.0, 0.5, 0.5]))
    >>> round(float(law.mean()), 3), round(float(law.slowest(2).mean()), 3)
    (0.15, 0.175)
    """

    unit: Fraction
    law: Array

    def mean(self) -> Any:
        """Return the expected time."""
        return self._mean(np.arange(len(self.law)))

    def variance(self) -> Any:
        """Return the variance of the time."""
        ticks = np.arange(len(self.law))
        first = self.law @ ticks
        return self._number(self.unit**2) * (self.law @ ticks**2 - first * first)

    def quantile(self, probability: float) -> Fraction:
        """Return the shortest time that is not exceeded with at least this probability.

        InputError: it is no probability.
        """
        if not 0 <= probability <= 1:
            raise InputError(f"probability is {probability!r}; give a number from 0 to 1")
        sums = np.cumsum(self.law)
        # Sums of float64 do not end at 1 exactly.
        reached = sums >= min(probability, float(sums[-1])) - (0 if self.law.dtype == object else 1e-12)
        return int(np.argmax(reached)) * self.unit

    def slowest(self, batch: int) -> TimeLaw:
        """Return the law of the slowest of `batch` independent runs."""
        whole("batch", batch, 1)
        sums = np.cumsum(self.law) ** batch
        return TimeLaw(self.unit, np.concatenate([sums[:1], np.diff(sums)]))

    def mean_inverse(self) -> Any:
        """Return the expectation of one over the time."""
        ticks = np.arange(1, len(self.law)).astype(self.law.dtype)
        found = (self.law[1:] / ticks).sum()
        return (found if self.law.dtype == object else float(found)) / self._number(self.unit)

    def _mean(self, values: Array) -> Any:
        return self._number(self.unit) * (self.law @ values)

    def _number(self, value: Fraction) -> Any:
        return value if self.law.dtype == object else float(value)


def time_law(
    pair: Pair,
    algorithm: Algorithm,
    clock: CostModel,
    *,
    batch: int = 1,
    horizon: int | None = None,
    exact: bool = False,
) -> TimeLaw:
    """Return the law of the time of a run, in integer ticks of the largest unit that divides all costs.

    Parameters are those of `expected_time`.

    Raises
    ------
    TooLargeError
        The unit is so fine that there are too many ticks.

    Examples
    --------
    >>> from specsim import Clock, Speculative, paper_pair, theory
    >>> law = theory.time_law(paper_pair(50), Speculative(draft_length=4), Clock(draft=0.1))
    >>> law.unit, law.quantile(0.5)
    (Fraction(1, 10), Fraction(133, 5))
    """
    check_clock(clock)
    laws = Laws(pair, algorithm, horizon=horizon, exact=exact)
    ticks = to_ticks(clock.round_times(algorithm, laws.horizon, batch))
    return TimeLaw(ticks.unit, laws.tick_law(ticks.counts))


def mean_speed_up(
    pair: Pair,
    algorithm: Algorithm,
    clock: CostModel,
    *,
    batch: int = 1,
    horizon: int | None = None,
    exact: bool = False,
) -> Any:
    """Return the expectation over runs of plain time / time: not the speed-up of a server.

    Parameters and errors are those of `time_law`.

    Examples
    --------
    >>> from specsim import Clock, Speculative, paper_pair, theory
    >>> round(theory.mean_speed_up(paper_pair(50), Speculative(draft_length=4), Clock(draft=0.1)), 4)
    1.8745
    """
    check_clock(clock)
    horizon = tables_of(pair).check_horizon(horizon)
    law = time_law(pair, algorithm, clock, batch=batch, horizon=horizon, exact=exact)
    plain = sum(clock.plain_times(horizon, batch))
    return (plain if exact else float(plain)) * law.mean_inverse()


def static_batch_time(
    pair: Pair,
    algorithm: Algorithm,
    clock: CostModel,
    *,
    batch: int,
    horizon: int | None = None,
    exact: bool = False,
) -> Any:
    """Return the expected time of a batch that ends when its slowest sequence does.

    All sequences take part in every round, those that have ended too, and a round costs what one in the
    middle of the text does; sequences are independent. So it is the expectation of the largest number of
    rounds, times the cost of a round.

    Parameters are those of `expected_time`.

    Examples
    --------
    >>> from specsim import Clock, Speculative, paper_pair, theory
    >>> clock, algorithm = Clock(draft=0.1), Speculative(draft_length=4)
    >>> alone = theory.static_batch_time(paper_pair(50), algorithm, clock, batch=1)
    >>> bool(alone < theory.static_batch_time(paper_pair(50), algorithm, clock, batch=8))
    True
    """
    check_clock(clock)
    laws = Laws(pair, algorithm, horizon=horizon, exact=exact)
    cost = clock.round_time(algorithm.structure(laws.horizon), batch)
    return TimeLaw(cost, laws.target_call_law()).slowest(batch).mean()


def constant_acceptance_tokens(acceptance: Any, draft_length: int) -> Any:
    """Return (1 - a^(K + 1)) / (1 - a): tokens per round if every drafted token were accepted with a.

    Parameters
    ----------
    acceptance
        a, a probability.
    draft_length
        K, at least 0.

    Notes
    -----
    2211.17192, equation 1. Exact if acceptances are independent with one rate; else wrong in either
    direction.

    Examples
    --------
    >>> from fractions import Fraction
    >>> from specsim import theory
    >>> theory.constant_acceptance_tokens(Fraction(1, 2), 2)
    Fraction(7, 4)
    """
    whole("draft_length", draft_length, 0, 10_000)
    number = isinstance(acceptance, Real) and not isinstance(acceptance, bool)
    if not number or not 0 <= acceptance <= 1:
        raise InputError(f"acceptance is {acceptance!r}; give a probability")
    return sum((acceptance**place for place in range(draft_length + 1)), acceptance * 0)
