"""Ready-made statistical checks, so that a claim takes a few lines.

`cases` is an iterable of (pair, algorithm), or a function of the effort that returns one. A `discrepancy` is
what has to be caught with probability 0.999 at standard effort: total variation for laws, probability for
`per_step_check`, counts per run for means. The number of runs follows from it, and simulations of the same
pair and algorithm are shared between all checks of a run.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from specsim.algorithms import Algorithm
from specsim.errors import InputError, TooLargeError
from specsim.pairs import ModelPair
from specsim.validation.assertions import Assertion, SimulationRequest
from specsim.validation.claims_model import StatisticalCheck
from specsim.validation.quantities import Expected, get_quantity, make_test, target_law
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses

Case = tuple[ModelPair, Algorithm]
Cases = Iterable[Case] | Callable[[Effort], Iterable[Case]]
Excluded = Callable[[Witnesses, ModelPair, Algorithm], float]

#: Discrepancies demanded by `agreement_check` at standard effort by default.
DEMANDS: dict[str, float] = {
    "expected_rejections": 0.1,
    "rejection_law": 0.03,
    "rejections_by_step": 0.01,
}


def assert_quantity(
    witnesses: Witnesses,
    effort: Effort,
    pair: ModelPair,
    algorithm: Algorithm,
    statistic: str,
    *,
    discrepancy: float | None = None,
    expected: Expected | None = None,
    excluded: float | None = None,
    engine: str = "auto",
    runs: int = 1,
    label: str = "",
) -> Assertion:
    """Plan one assertion: the simulated `statistic` of (pair, algorithm) against theory.

    witnesses, effort: as given to the check's `plan`.
    pair, algorithm: what is simulated.
    statistic: a name in `specsim.validation.quantities.QUANTITIES`.
    discrepancy: to be caught, at standard effort. Defaults to None: no demand.
    expected: where the expected value comes from. Defaults to None: the theory function of the same name.
    excluded: for means: a published value that the simulation has to miss.
    engine: passed on to `specsim.simulate`.
    runs: smallest number of runs.
    label: put in front of the assertion's label.
    """
    quantity = get_quantity(statistic)
    value = (expected or quantity.expected)(witnesses, pair, algorithm)
    test = make_test(quantity, value, pair.horizon, excluded)
    request = SimulationRequest(
        pair=pair, algorithm=algorithm, engine=engine, outcomes=quantity.variable == "outcome_count"
    )
    return Assertion(
        label=f"{label + ': ' if label else ''}{quantity.words}, {request.label}",
        request=request,
        test=test,
        observe=quantity.observe,
        discrepancy=None if discrepancy is None else discrepancy * effort.discrepancy_factor,
        runs=runs,
        name_entry=lambda index: quantity.entry(index, pair),
    )


def law_check(
    name: str,
    cases: Cases,
    *,
    statistic: str = "rejection_law",
    discrepancy: float | None = 0.02,
    expected: Expected | None = None,
    engine: str = "auto",
) -> StatisticalCheck:
    """Check a whole law: every cell and the relative entropy (`statistic` of kind "law")."""
    return _check(name, cases, (statistic,), {statistic: discrepancy}, expected, None, engine)


def per_step_check(
    name: str,
    cases: Cases,
    *,
    statistic: str = "rejections_by_step",
    discrepancy: float | None = 0.01,
    expected: Expected | None = None,
    engine: str = "auto",
) -> StatisticalCheck:
    """Check a probability at every step."""
    return _check(name, cases, (statistic,), {statistic: discrepancy}, expected, None, engine)


def mean_check(
    name: str,
    cases: Cases,
    *,
    statistic: str = "expected_rejections",
    discrepancy: float | None = 0.05,
    expected: Expected | None = None,
    excluded: Excluded | None = None,
    engine: str = "auto",
) -> StatisticalCheck:
    """Check a mean per run, and that a published value that is not the mean is missed.

    expected: returns (mean, variance).
    excluded: returns the published value, such as a line read off a figure.
    """
    return _check(name, cases, (statistic,), {statistic: discrepancy}, expected, excluded, engine)


def lossless_check(name: str, cases: Cases, *, discrepancy: float | None = 0.02) -> StatisticalCheck:
    """Check that the law of the whole sequence is the target's (pairs small enough for `outcome_count`)."""
    return law_check(name, cases, statistic="output_law", discrepancy=discrepancy, expected=target_law)


def agreement_check(
    name: str,
    cases: Cases,
    *,
    statistics: Iterable[str] = (
        "expected_rejections",
        "expected_target_calls",
        "rejection_law",
        "target_call_law",
        "first_accepted_length_law",
        "accepted_length_counts",
        "rejections_by_step",
        "output_marginals",
    ),
    demands: Mapping[str, float] | None = None,
    engine: str = "auto",
    skip_too_large: bool = False,
) -> StatisticalCheck:
    """Check everything that one simulation can say, from the same runs.

    statistics: names of quantities. Defaults to all that need neither a small pair nor enumeration; add
        ``"transition_marginals"``, ``"output_law"`` or ``"joint_law"`` for small pairs.
    demands: discrepancies to be caught. Defaults to None: `DEMANDS`. Quantities that are not named use the
        runs that the others need, and state what those catch.
    skip_too_large: whether to skip cases whose laws theory refuses as too large. At least one must
        remain.
    """
    chosen = tuple(statistics)
    wanted = DEMANDS if demands is None else demands
    discrepancies = {key: wanted.get(key) for key in chosen}
    return _check(name, cases, chosen, discrepancies, None, None, engine, skip_too_large=skip_too_large)


def _check(
    name: str,
    cases: Cases,
    statistics: tuple[str, ...],
    discrepancies: Mapping[str, float | None],
    expected: Expected | None,
    excluded: Excluded | None,
    engine: str,
    *,
    skip_too_large: bool = False,
) -> StatisticalCheck:
    for statistic in statistics:
        get_quantity(statistic)

    def plan(witnesses: Witnesses, effort: Effort) -> Iterator[Assertion]:
        planned = 0
        for pair, algorithm in cases(effort) if callable(cases) else cases:
            try:
                assertions = [
                    assert_quantity(
                        witnesses,
                        effort,
                        pair,
                        algorithm,
                        statistic,
                        discrepancy=discrepancies[statistic],
                        expected=expected,
                        excluded=None if excluded is None else float(excluded(witnesses, pair, algorithm)),
                        engine=engine,
                    )
                    for statistic in statistics
                ]
            except TooLargeError:
                if not skip_too_large:
                    raise
                continue
            planned += len(assertions)
            yield from assertions
        if skip_too_large and not planned:
            raise InputError(f"check {name!r}: theory can serve none of the cases; give smaller ones")

    return StatisticalCheck(name, plan)
