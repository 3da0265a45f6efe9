"""Finite-sample tests with stated error rates.

Every property has three functions: ``decide_...`` (the test), ``min_discrepancy_...`` (the smallest
discrepancy that the test catches with probability ``1 - miss``) and ``min_runs_...`` (the runs needed to
catch a given discrepancy). The last two are deterministic and used before anything is simulated. All error
rates are bounds, valid for every number of runs: nothing here is asymptotic.

Expected values come from float64 theory, whose rounding errors (about 1e-12) are far below any threshold
here; where a threshold could be zero, a slack is added and stated.
"""

from specsim.validation.statistics.binomial import (
    decide_probability_by_binomial_tails,
    min_discrepancy_of_probability_by_binomial_tails,
    min_runs_for_probability_by_binomial_tails,
)
from specsim.validation.statistics.bounded_mean import (
    decide_mean_by_bennett,
    min_discrepancy_of_mean_by_bennett,
    min_runs_for_mean_by_bennett,
)
from specsim.validation.statistics.decision import MISS, Decision
from specsim.validation.statistics.empirical_mean import (
    decide_mean_by_empirical_bernstein,
    min_discrepancy_of_mean_by_empirical_bernstein,
    min_runs_for_mean_by_empirical_bernstein,
)
from specsim.validation.statistics.multinomial import (
    decide_law_by_cells_and_entropy,
    min_discrepancy_of_law_by_cells_and_entropy,
    min_runs_for_law_by_cells_and_entropy,
)

__all__ = [
    "MISS",
    "Decision",
    "decide_law_by_cells_and_entropy",
    "decide_mean_by_bennett",
    "decide_mean_by_empirical_bernstein",
    "decide_probability_by_binomial_tails",
    "min_discrepancy_of_law_by_cells_and_entropy",
    "min_discrepancy_of_mean_by_bennett",
    "min_discrepancy_of_mean_by_empirical_bernstein",
    "min_discrepancy_of_probability_by_binomial_tails",
    "min_runs_for_law_by_cells_and_entropy",
    "min_runs_for_mean_by_bennett",
    "min_runs_for_mean_by_empirical_bernstein",
    "min_runs_for_probability_by_binomial_tails",
]
