"""How much work a run does: sizes of pairs and numbers of simulated runs."""

from dataclasses import dataclass
from typing import TypeVar

from specsim.support.checks import named

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Effort:
    """One of the three sizes of a validation run.

    name: ``"quick"``, ``"standard"`` or ``"deep"``.
    discrepancy_factor: claims state the discrepancy to be caught at standard effort; it is multiplied by
        this, so the number of runs is divided by about its square.
    max_runs: no simulation is given more runs. An assertion that would need more is reported as undecided.
    """

    name: str
    discrepancy_factor: float
    max_runs: int

    def pick(self, *, quick: Value, standard: Value, deep: Value) -> Value:
        """Return the argument that bears this effort's name."""
        return {"quick": quick, "standard": standard, "deep": deep}[self.name]


QUICK = Effort(name="quick", discrepancy_factor=2.0, max_runs=4_000_000)
STANDARD = Effort(name="standard", discrepancy_factor=1.0, max_runs=40_000_000)
DEEP = Effort(name="deep", discrepancy_factor=0.5, max_runs=400_000_000)

EFFORTS = {effort.name: effort for effort in (QUICK, STANDARD, DEEP)}


def get_effort(effort: str | Effort) -> Effort:
    """Return the effort of this name; `InputError` if there is none."""
    return named("effort", effort, EFFORTS)
