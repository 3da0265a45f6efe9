"""Plans of assertions that several claims share, beyond those of `specsim.validation.builders`."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from specsim import ModelPair
from specsim.algorithms import Algorithm
from specsim.validation.assertions import Assertion, MeanTest, SimulationRequest
from specsim.validation.builders import assert_quantity
from specsim.validation.claims_model import StatisticalCheck
from specsim.validation.quantities import target_marginals
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses

Cases = Callable[[Effort], Iterable[tuple[ModelPair, Algorithm]]]

#: With more cells (steps x tokens) the runs follow from a number of positions, not from a discrepancy.
MOST_CELLS = 400


def lossless_at_size(name: str, cases: Cases, *, discrepancy: float = 0.02) -> StatisticalCheck:
    """Check that the token at every step has the target's law, on pairs of any size.

    Where there are too many cells to derive the runs from a total variation distance in good time, a fixed
    number of positions is simulated, and the assertion states what they catch.
    """

    def plan(witnesses: Witnesses, effort: Effort) -> Iterator[Assertion]:
        positions = effort.pick(quick=2_000_000, standard=20_000_000, deep=2_000_000_000)
        for pair, algorithm in cases(effort):
            small = pair.horizon * pair.tokens <= MOST_CELLS
            yield assert_quantity(
                witnesses,
                effort,
                pair,
                algorithm,
                "output_marginals",
                discrepancy=discrepancy if small else None,
                expected=target_marginals,
                runs=1 if small else max(1, positions // pair.horizon),
            )

    return StatisticalCheck(name, plan)


def token_probability(
    witnesses: Witnesses,
    effort: Effort,
    pair: ModelPair,
    algorithm: Algorithm,
    *,
    position: int,
    token: int,
    excluded: float | None,
    discrepancy: float,
) -> Assertion:
    """Plan one assertion on the probability of a token at a position (from 1), excluding another value."""
    probability = float(witnesses.theory.output_marginals(pair, algorithm)[position - 1][token])
    request = SimulationRequest(pair=pair, algorithm=algorithm)

    def observe(dataset: Any) -> int:
        return int(dataset["token_count"].values[position - 1, token])

    return Assertion(
        label=f"Pr(token {token} at position {position}), {request.label}",
        request=request,
        test=MeanTest(
            mean=probability,
            variance=probability * (1 - probability),
            low=0.0,
            high=1.0,
            excluded=excluded,
            unit="probability",
        ),
        observe=observe,
        discrepancy=discrepancy * effort.discrepancy_factor,
    )
