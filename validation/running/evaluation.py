"""From tallies to the records of assertions."""

from functools import lru_cache
from typing import Any

from specsim.errors import InputError
from specsim.validation.assertions import Assertion, SimulationRequest
from specsim.validation.running.outcomes import AssertionOutcome, Status
from specsim.validation.running.planning import PlannedSimulation, describe_error


def evaluate(
    assertion: Assertion,
    simulation: PlannedSimulation,
    dataset: Any,
    *,
    alpha: float,
    required: int,
    run_command: str,
) -> AssertionOutcome:
    """Test one assertion on the tallies of its simulation.

    assertion, simulation, dataset: what was planned, and the tallies.
    alpha: the assertion's share of the budget.
    required: the runs that its discrepancy needs.
    run_command: repeats the whole run; used where the simulation alone has no command.
    """
    runs, seed = simulation.runs, simulation.seed
    test = assertion.test
    command = simulation_command(simulation.request, runs, seed) or run_command
    common: dict[str, Any] = {
        "label": assertion.label,
        "exact": assertion.exact,
        "alpha": alpha,
        "wanted": assertion.discrepancy,
        "unit": test.unit,
        "runs": runs,
        "seed": seed,
        "command": command,
    }
    try:
        detectable = float(test.detectable(runs, alpha))
        decision = test.decide(assertion.observe(dataset), runs, alpha)
    except InputError as error:
        # Tallies or theory that cannot be what they are said to be: the claim is contradicted, not untested.
        return AssertionOutcome(status=Status.DISAGREES, detail=str(error), **common)
    except Exception as error:
        return AssertionOutcome(status=Status.ERROR, detail=describe_error(error), **common)
    status = Status.AGREES if decision.agrees else Status.DISAGREES
    if runs < required and decision.p_value > alpha:
        # Nothing contradicts theory; too few runs to exclude a published value is not a failure.
        status = Status.UNDECIDED
    return AssertionOutcome(
        status=status,
        observed=decision.observed,
        expected=decision.expected,
        standard_error=decision.standard_error,
        sigma=decision.sigma,
        where=assertion.name_entry(decision.where) if assertion.name_entry else "",
        p_value=decision.p_value,
        detectable=detectable,
        detail=decision.detail,
        **common,
    )


def simulation_command(request: SimulationRequest, runs: int, seed: int) -> str:
    """Return the command that repeats a simulation, or an empty string when its names do not define it."""
    if type(request) is not SimulationRequest:
        return ""
    if request.horizon not in (None, request.pair.horizon) or not _spelled(request):
        return ""
    engine = "" if request.engine == "auto" else f" --engine {request.engine}"
    return (
        f"specsim simulate {request.pair.name} {request.algorithm.label} --runs {runs} --seed {seed}{engine}"
    )


@lru_cache(maxsize=1024)
def _spelled(request: SimulationRequest) -> bool:
    """Whether the grammar reads the request's names as the very same pair and algorithm."""
    from specsim.grammar import parse_algorithm, parse_pair

    if ":" not in request.pair.name or " " in request.pair.name:
        return False
    try:
        return bool(
            parse_pair(request.pair.name).identity == request.pair.identity
            and parse_algorithm(request.algorithm.label) == request.algorithm
        )
    except InputError:
        return False
