"""What a running validation reports to its caller, as data."""

from dataclasses import dataclass

from specsim.validation.running.outcomes import Status


@dataclass(frozen=True, kw_only=True)
class Planning:
    """The plan is being made; `done` of `total` steps are, two for each statistical check."""

    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The plan is made: every assertion and every simulation is known, nothing has been sampled."""

    assertions: int
    alpha_each: float
    simulations: int
    positions: int


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """A part of a simulation is done; `positions` is the number of emitted positions in all of them."""

    label: str
    positions: int


@dataclass(frozen=True, kw_only=True)
class Comparing:
    """An exact check has made one more comparison."""

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


Event = Planning | Planned | Simulated | Comparing | CheckFinished | Note
