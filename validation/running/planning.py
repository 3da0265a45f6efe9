"""The plan of a run: all assertions, their share of the budget, the simulations and runs they need."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from specsim.errors import InputError
from specsim.support.hashes import derived_seed
from specsim.validation.assertions import Assertion, SimulationRequest
from specsim.validation.claims_model import Claim, StatisticalCheck
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses

#: (index of the claim, index of the check in it)
Place = tuple[int, int]


@dataclass(kw_only=True)
class PlannedSimulation:
    """A simulation with its runs and seed, and the assertions that wait for it."""

    request: SimulationRequest
    seed: int
    runs: int = 1
    outcomes: bool = False
    assertions: list[tuple[Place, int]] = field(default_factory=list)

    @property
    def positions(self) -> int:
        """Emitted positions of all its runs."""
        return self.runs * self.request.length


@dataclass(kw_only=True)
class Plan:
    """All that will be simulated and asserted.

    assertions: the assertions of each statistical check.
    required: the runs that each of them needs, in the same order.
    errors: checks whose planning failed, with the reason.
    simulations: by the identity of the request.
    alpha_each: the share of the false-alarm budget of each assertion.
    """

    assertions: dict[Place, list[Assertion]]
    required: dict[Place, list[int]]
    errors: dict[Place, str]
    simulations: dict[str, PlannedSimulation]
    alpha_each: float

    @property
    def count(self) -> int:
        """Number of assertions."""
        return sum(len(group) for group in self.assertions.values())


def make_plan(
    claims: tuple[Claim, ...],
    witnesses: Witnesses,
    effort: Effort,
    alpha: float,
    seed: int,
    step: Callable[[int, int], None] = lambda done, total: None,
) -> Plan:
    """Plan a run. Nothing is simulated.

    Every assertion gets an equal share of `alpha`. Its runs follow from the share and the discrepancy to be
    caught; a simulation gets the most that its assertions need, at most ``effort.max_runs``. `step` is called
    twice for each check, before its assertions and before their runs are planned, with the number of such
    steps done and of all; whatever it raises ends the planning.
    """
    steps = 2 * sum(isinstance(check, StatisticalCheck) for claim in claims for check in claim.checks)
    done = 0
    assertions: dict[Place, list[Assertion]] = {}
    errors: dict[Place, str] = {}
    witnesses = witnesses.with_memory()
    for index, claim in enumerate(claims):
        for number, check in enumerate(claim.checks):
            if not isinstance(check, StatisticalCheck):
                continue
            place = (index, number)
            step(done, steps)
            done += 1
            try:
                assertions[place] = list(check.plan(witnesses, effort))
            except Exception as error:
                errors[place] = describe_error(error)
            else:
                if not assertions[place]:
                    del assertions[place]
                    errors[place] = "the check plans no assertion, so it could never fail"
    total = sum(len(group) for group in assertions.values())
    alpha_each = alpha / max(1, total)
    simulations: dict[str, PlannedSimulation] = {}
    required: dict[Place, list[int]] = {}
    for place in list(assertions):
        step(done, steps)
        done += 1
        try:
            needs = [assertion.required_runs(alpha_each) for assertion in assertions[place]]
        except Exception as error:
            errors[place] = describe_error(error)
            del assertions[place]
            continue
        required[place] = needs
        for number, (assertion, need) in enumerate(zip(assertions[place], needs, strict=True)):
            request = assertion.request
            identity = request.identity
            if identity not in simulations:
                simulations[identity] = PlannedSimulation(
                    request=request, seed=derived_seed(seed, f"validate/{identity}")
                )
            simulation = simulations[identity]
            simulation.runs = max(simulation.runs, min(need, effort.max_runs))
            simulation.outcomes = simulation.outcomes or request.outcomes
            simulation.assertions.append((place, number))
    return Plan(
        assertions=assertions,
        required=required,
        errors=errors,
        simulations=simulations,
        alpha_each=alpha_each,
    )


def describe_error(error: BaseException) -> str:
    """Return one line for an input error, and type, text and location for any other."""
    if isinstance(error, InputError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
