"""Clocks: how long a draft step, a target call and a round take.

The unit of time is one target call of one sequence for one token. All times are rationals, so that theory
can be exact and times can be counted in integer ticks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

import numpy as np

from specsim.algorithms import Algorithm, Structure
from specsim.errors import InputError
from specsim.support.checks import whole

#: Numbers of a clock; floats are read as the decimal number that they print as.
Number = Fraction | int | float
#: Largest value of a cost, in target calls.
MOST_TIME = 10**9


class CostModel:
    """Base of all clocks: three times, and what a round costs by them.

    Examples
    --------
    >>> from fractions import Fraction
    >>> from specsim import CostModel, chain
    >>> class Stopwatch(CostModel):
    ...     def target_time(self, width, batch=1, start=0):
    ...         return Fraction(1)
    ...
    ...     def draft_time(self, width, batch=1, start=0):
    ...         return Fraction(1, 8)
    ...
    ...     def overhead_time(self, batch=1):
    ...         return Fraction(0)
    >>> Stopwatch().round_time(chain(2))
    Fraction(5, 4)
    """

    def target_time(self, width: int, batch: int = 1, start: int = 0) -> Fraction:
        """Return the time of a target call.

        width: tokens of each sequence that are looked at in the call, at least 1.
        batch: sequences in the call.
        start: tokens that each sequence has emitted before.
        """
        raise NotImplementedError

    def draft_time(self, width: int, batch: int = 1, start: int = 0) -> Fraction:
        """Return the time of a draft step that extends each sequence by `width` tokens, side by side."""
        raise NotImplementedError

    def overhead_time(self, batch: int = 1) -> Fraction:
        """Return what a round that drafts costs in addition to draft steps and target call."""
        raise NotImplementedError

    def round_time(self, structure: Structure, batch: int = 1, start: int = 0) -> Fraction:
        """Return the time of a round: one draft step for each depth, one target call, the overhead.

        The target call looks at every drafted token and at the one before them. A structure without drafted
        tokens costs a plain target call.
        """
        if structure.depth == 0:
            return self.target_time(1, batch, start)
        drafting = sum(self.draft_time(width, batch, start) for width in structure.level_sizes)
        return drafting + self.target_time(int(structure.size), batch, start) + self.overhead_time(batch)

    def round_times(self, algorithm: Algorithm, horizon: int, batch: int = 1) -> list[Fraction]:
        """Return the time of the round that starts at each position, for `horizon` positions.

        Rounds near the horizon draft less (`Algorithm.structure`), so that they cost less.
        """
        return [
            self.round_time(algorithm.structure(horizon - start), batch, start) for start in range(horizon)
        ]

    def plain_times(self, horizon: int, batch: int = 1) -> list[Fraction]:
        """Return the time of each target call of plain decoding, ``(horizon,)``."""
        return [self.target_time(1, batch, start) for start in range(horizon)]


@dataclass(frozen=True, kw_only=True)
class Clock(CostModel):
    """Costs in units of one target call of one sequence for one token.

    Parameters
    ----------
    draft
        One draft step of one sequence: the cost ratio c of 2211.17192. It grows with the tokens in the step
        as a target call does.
    overhead
        What a round that drafts costs in addition to draft steps and target call.
    token
        What every token in a call beyond the first `free` adds, as a share of the call for one token.
    free
        Tokens in a call (batch times width) up to which the call takes as long as for one: a call that is
        bound by reading the weights.
    context
        What each token of context of each sequence adds to a call.
    prompt
        Tokens of context before the first emitted one.

    Examples
    --------
    >>> from specsim import Clock, chain
    >>> Clock(draft=0.1, overhead=0.02).round_time(chain(4))
    Fraction(71, 50)
    """

    draft: Number = 0
    overhead: Number = 0
    token: Number = 0
    free: int = 1
    context: Number = 0
    prompt: int = 0

    def __post_init__(self) -> None:
        for name in ("draft", "overhead", "token", "context"):
            object.__setattr__(self, name, cost(name, getattr(self, name)))
        whole("free", self.free, 1)
        whole("prompt", self.prompt, 0)

    def target_time(self, width: int, batch: int = 1, start: int = 0) -> Fraction:
        """Return the time of a target call; see `CostModel.target_time`."""
        tokens = whole("width", width, 1) * whole("batch", batch, 1)
        spread = Fraction(self.token) * max(0, tokens - self.free)
        return 1 + spread + Fraction(self.context) * batch * (self.prompt + start)

    def draft_time(self, width: int, batch: int = 1, start: int = 0) -> Fraction:
        """Return the time of a draft step: `draft` times that of a target call of as many tokens."""
        return Fraction(self.draft) * self.target_time(width, batch, start)

    def overhead_time(self, batch: int = 1) -> Fraction:
        """Return `overhead`, whatever the batch."""
        return Fraction(self.overhead)

    @property
    def label(self) -> str:
        """The clock in the grammar of the command line."""
        parts = [
            f"{entry.name}={spell(getattr(self, entry.name))}"
            for entry in fields(self)
            if getattr(self, entry.name) != entry.default
        ]
        return ",".join(parts) or "draft=0"


@dataclass(frozen=True)
class Ticks:
    """Times as whole numbers of a common unit.

    counts: one for each time.
    unit: the length of one tick.
    """

    counts: tuple[int, ...]
    unit: Fraction


def check_clock(clock: object) -> None:
    """Raise `InputError` unless `clock` states costs."""
    if not isinstance(clock, CostModel):
        raise InputError(f"clock is {clock!r}; give a specsim.Clock or MeasuredClock")


def to_ticks(times: Sequence[Fraction]) -> Ticks:
    """Return rational times as whole multiples of the largest unit that divides them all.

    Examples
    --------
    >>> from fractions import Fraction
    >>> to_ticks([Fraction(3, 2), Fraction(1)])
    Ticks(counts=(3, 2), unit=Fraction(1, 2))
    """
    denominator = math.lcm(*(time.denominator for time in times))
    numerators = [int(time * denominator) for time in times]
    common = math.gcd(*numerators) or 1
    return Ticks(tuple(number // common for number in numerators), Fraction(common, denominator))


def cost(name: str, value: Any) -> Fraction:
    """Return a cost as a rational.

    InputError: it is no number, negative, or absurdly large.
    """
    found = None
    if isinstance(value, int | Fraction) and not isinstance(value, bool):
        found = Fraction(value)
    elif isinstance(value, np.integer):
        found = Fraction(int(value))
    elif isinstance(value, float | np.floating) and math.isfinite(value):
        found = Fraction(repr(float(value)))
    if found is None or not 0 <= found <= MOST_TIME:
        raise InputError(
            f"{name} is {value!r}; give a number from 0 to {MOST_TIME}, in units of one target call"
        )
    return found


def spell(value: Number) -> str:
    """Return a cost as a decimal where it is a short one, else as a quotient."""
    found = Fraction(value)
    decimal = repr(float(found))
    if found.denominator == 1:
        return str(found.numerator)
    return decimal if Fraction(decimal) == found else str(found)
