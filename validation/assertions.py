"""Assertions planned before anything is sampled, and the simulations they need."""

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from specsim.algorithms import Algorithm
from specsim.errors import InputError
from specsim.pairs import ModelPair
from specsim.support.arrays import Floats
from specsim.validation.statistics import (
    Decision,
    decide_law_by_cells_and_entropy,
    decide_mean_by_bennett,
    decide_mean_by_empirical_bernstein,
    decide_probability_by_binomial_tails,
    min_discrepancy_of_law_by_cells_and_entropy,
    min_discrepancy_of_mean_by_bennett,
    min_discrepancy_of_mean_by_empirical_bernstein,
    min_discrepancy_of_probability_by_binomial_tails,
    min_runs_for_law_by_cells_and_entropy,
    min_runs_for_mean_by_bennett,
    min_runs_for_mean_by_empirical_bernstein,
    min_runs_for_probability_by_binomial_tails,
)
from specsim.validation.statistics.bounded_mean import acceptance_half_width
from specsim.validation.statistics.decision import smallest_runs
from specsim.validation.witnesses import Witnesses


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulationRequest:
    """A simulation that some assertions need. The runner gives it runs and a seed.

    Requests of equal `identity` are simulated once, with the most runs that any of their assertions needs.

    Attributes
    ----------
    pair, algorithm, horizon, engine
        As in `specsim.simulate`.
    outcomes
        Whether the whole `outcome_count` is needed.

    Examples
    --------
    >>> from specsim import Speculative, paper_pair
    >>> from specsim.validation import SimulationRequest
    >>> SimulationRequest(pair=paper_pair(2), algorithm=Speculative()).label
    'speculative on paper:2'
    """

    pair: ModelPair
    algorithm: Algorithm
    horizon: int | None = None
    engine: str = "auto"
    outcomes: bool = False

    @cached_property
    def identity(self) -> str:
        """SHA-256, in hexadecimal, of everything that the tallies depend on except seed and runs."""
        horizon = self.pair.check_horizon(self.horizon)
        text = f"{self.pair.identity} {horizon} {self.engine} {self.algorithm.identity}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def label(self) -> str:
        """Algorithm and pair in words."""
        engine = "" if self.engine == "auto" else f" ({self.engine} engine)"
        return f"{self.algorithm.label} on {self.pair.name}{engine}"

    @property
    def length(self) -> int:
        """Emitted positions per run."""
        return self.pair.check_horizon(self.horizon)

    def simulate(self, witnesses: Witnesses, **options: Any) -> Any:
        """Simulate; `options` are more of `specsim.simulate`.

        A claim about a system with its own loop overrides this, `identity` and `label`.
        """
        return witnesses.simulate(
            self.pair, self.algorithm, horizon=self.horizon, engine=self.engine, **options
        )


class StatisticalTest(Protocol):
    """What an assertion compares with; every test knows its own power."""

    @property
    def unit(self) -> str:
        """The unit of its discrepancies."""

    def min_runs(self, discrepancy: float, alpha: float) -> int:
        """Return the runs at which `discrepancy` is caught with probability 0.999."""

    def detectable(self, runs: int, alpha: float) -> float:
        """Return the discrepancy that `runs` runs catch with probability 0.999."""

    def decide(self, observation: Any, runs: int, alpha: float) -> Decision:
        """Test the observation at level `alpha`."""


@dataclass(frozen=True, eq=False)
class ProbabilityTest:
    """Counts of runs against probabilities, of any shape; the observation is the counts."""

    probability: Floats
    unit: str = "probability"

    def min_runs(self, discrepancy: float, alpha: float) -> int:
        """See `StatisticalTest`."""
        return min_runs_for_probability_by_binomial_tails(
            discrepancy=discrepancy, probability=self.probability, alpha=alpha
        )

    def detectable(self, runs: int, alpha: float) -> float:
        """See `StatisticalTest`."""
        return min_discrepancy_of_probability_by_binomial_tails(
            runs=runs, probability=self.probability, alpha=alpha
        )

    def decide(self, observation: Any, runs: int, alpha: float) -> Decision:
        """See `StatisticalTest`."""
        return decide_probability_by_binomial_tails(
            count=observation, runs=runs, probability=self.probability, alpha=alpha
        )


@dataclass(frozen=True, eq=False)
class LawTest:
    """Rows of counts against rows of laws; the observation is the counts, shape ``(rows, cells)``."""

    probabilities: Floats
    unit: str = "total variation"

    def min_runs(self, discrepancy: float, alpha: float) -> int:
        """See `StatisticalTest`."""
        return min_runs_for_law_by_cells_and_entropy(
            discrepancy=discrepancy, probabilities=self.probabilities, alpha=alpha
        )

    def detectable(self, runs: int, alpha: float) -> float:
        """See `StatisticalTest`."""
        return min_discrepancy_of_law_by_cells_and_entropy(
            runs=runs, probabilities=self.probabilities, alpha=alpha
        )

    def decide(self, observation: Any, runs: int, alpha: float) -> Decision:
        """See `StatisticalTest`."""
        return decide_law_by_cells_and_entropy(
            counts=observation, runs=runs, probabilities=self.probabilities, alpha=alpha
        )


@dataclass(frozen=True, kw_only=True)
class MeanTest:
    """A mean per run of known variance; the observation is the total over the runs.

    With `excluded`, a published value that is not the mean has to lie outside the interval that the test
    accepts around the observed mean, too. Under the null that costs no further error: the runs are chosen so
    that an observation accepted for `mean` is never accepted for `excluded`.
    """

    mean: float
    variance: float
    low: float
    high: float
    excluded: float | None = None
    unit: str = "per run"

    def min_runs(self, discrepancy: float, alpha: float) -> int:
        """See `StatisticalTest`."""
        runs = min_runs_for_mean_by_bennett(
            discrepancy=discrepancy,
            mean=self.mean,
            variance=self.variance,
            low=self.low,
            high=self.high,
            alpha=alpha,
        )
        if self.excluded is not None:
            gap = abs(self.excluded - self.mean)
            runs = max(runs, smallest_runs(lambda count: 2 * self._width(count, alpha), gap))
        return runs

    def detectable(self, runs: int, alpha: float) -> float:
        """See `StatisticalTest`."""
        return min_discrepancy_of_mean_by_bennett(
            runs=runs, mean=self.mean, variance=self.variance, low=self.low, high=self.high, alpha=alpha
        )

    def decide(self, observation: Any, runs: int, alpha: float) -> Decision:
        """See `StatisticalTest`."""
        decision = decide_mean_by_bennett(
            total=int(observation),
            runs=runs,
            mean=self.mean,
            variance=self.variance,
            low=self.low,
            high=self.high,
            alpha=alpha,
        )
        if self.excluded is None:
            return decision
        gap = decision.observed - self.excluded
        out = abs(gap) > self._width(runs, alpha)
        sigma = gap / decision.standard_error if decision.standard_error else float("inf")
        return dataclasses.replace(
            decision,
            agrees=decision.agrees and out,
            detail=f"published value {self.excluded:.6g} {'missed' if out else 'NOT excluded'}"
            f" by {abs(sigma):.1f} sigma",
        )

    def _width(self, runs: int, alpha: float) -> float:
        return acceptance_half_width(
            runs=runs, mean=self.mean, variance=self.variance, low=self.low, high=self.high, alpha=alpha
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class EmpiricalMeanTest:
    """Means per run of unknown variance; the observation is the pair (totals, totals of squares).

    The power statement holds for every alternative: a count in [0, high] of mean m has a variance of at most
    m (high - m).
    """

    mean: Floats
    high: Floats
    unit: str = "per run"

    def min_runs(self, discrepancy: float, alpha: float) -> int:
        """See `StatisticalTest`."""
        return min_runs_for_mean_by_empirical_bernstein(
            discrepancy=discrepancy, variance=self._variance(discrepancy), high=self.high, alpha=alpha
        )

    def detectable(self, runs: int, alpha: float) -> float:
        """See `StatisticalTest`."""
        found = 0.0
        # The bound grows with the variance, the variance with the discrepancy, and both ever more slowly.
        for _ in range(200):
            before, found = (
                found,
                min_discrepancy_of_mean_by_empirical_bernstein(
                    runs=max(runs, 2), variance=self._variance(found), high=self.high, alpha=alpha
                ),
            )
            if found - before <= 1e-9 * found:
                break
        return found * (1 + 1e-6)

    def _variance(self, discrepancy: float) -> Floats:
        """Return the largest variance at a mean that is at most so far from the null's."""
        nearest = self.high / 2
        mean = np.clip(nearest, self.mean - discrepancy, self.mean + discrepancy)
        return np.clip(mean * (self.high - mean), 0.0, None)

    def decide(self, observation: Any, runs: int, alpha: float) -> Decision:
        """See `StatisticalTest`."""
        total, square_total = observation
        return decide_mean_by_empirical_bernstein(
            total=total, square_total=square_total, runs=runs, mean=self.mean, high=self.high, alpha=alpha
        )


@dataclass(frozen=True)
class Unusable:
    """Stands for a test that theory's numbers do not allow, such as a law that sums to 2. It fails."""

    reason: str
    unit: str = ""

    def min_runs(self, discrepancy: float, alpha: float) -> int:
        """See `StatisticalTest`."""
        return 1

    def detectable(self, runs: int, alpha: float) -> float:
        """See `StatisticalTest`."""
        return 0.0

    def decide(self, observation: Any, runs: int, alpha: float) -> Decision:
        """See `StatisticalTest`."""
        raise InputError(self.reason)


@dataclass(frozen=True, kw_only=True, eq=False)
class Assertion:
    """One statement about a simulation, planned before it is sampled.

    Attributes
    ----------
    label
        What is compared, on what.
    request
        The simulation.
    test
        The null and its test.
    observe
        Takes the tallies, an `xarray.Dataset`, and returns the observation that the test wants.
    discrepancy
        What has to be caught with probability 0.999, in the test's unit, at the effort of the plan. The
        number of runs is derived from it. None: no demand; the assertion uses the runs that others ask for,
        or `runs`.
    runs
        Smallest number of runs, for any discrepancy.
    exact
        The expected value as an exact number in text, where there is one that is short.
    name_entry
        Names the worst entry (a flat index) for reports, such as ``step 12``.

    Examples
    --------
    >>> from specsim import Speculative, paper_pair, theory
    >>> from specsim.validation import Assertion, SimulationRequest
    >>> from specsim.validation.assertions import ProbabilityTest
    >>> law = theory.rejections_by_step(paper_pair(2), Speculative())
    >>> Assertion(
    ...     label="rejections", request=SimulationRequest(pair=paper_pair(2), algorithm=Speculative()),
    ...     test=ProbabilityTest(law), observe=lambda tallies: tallies.rejections_by_step.values,
    ...     discrepancy=0.01,
    ... ).required_runs(1e-9)
    182784
    """

    label: str
    request: SimulationRequest
    test: StatisticalTest
    observe: Callable[[Any], Any]
    discrepancy: float | None = None
    runs: int = 1
    exact: str = ""
    name_entry: Callable[[int], str] | None = None

    def required_runs(self, alpha: float) -> int:
        """Return the runs that this assertion needs when tested at level `alpha`."""
        if self.discrepancy is None:
            return max(1, self.runs)
        return max(1, self.runs, self.test.min_runs(self.discrepancy, alpha))
