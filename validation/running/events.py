"""What a running validation tells its caller: data, never print."""

from __future__ import annotations

from dataclasses import dataclass

from specsim.validation.running.outcomes import Status


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The plan is made: every assertion and every simulation is known, nothing has been sampled."""

    assertions: int
    alpha_each: float
    simulations: int
    positions: int


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """A part of a simulation is done; `positions` counts emitted positions over all simulations so far."""

    label: str
    positions: int
    stored: bool = False


@dataclass(frozen=True, kw_only=True)
class Comparing:
    """An exact check has made so many comparisons."""

    claim: str
    check: str
    comparisons: int


@dataclass(frozen=True, kw_only=True)
class CheckFinished:
    """A check is done."""

    claim: str
    check: str
    kind: str
    status: Status


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something a reader should know."""

    text: str


Event = Planned | Simulated | Comparing | CheckFinished | Note
