"""What a test says, and the search for a number of runs that all designs share."""

from collections.abc import Callable
from dataclasses import dataclass

from specsim.errors import InputError

#: Probability of missing a discrepancy of the stated size.
MISS = 1e-3

#: A design that needs more runs than this is refused.
MOST_RUNS = 10**15


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The result of one test.

    Attributes
    ----------
    agrees
        Whether the null was kept: ``p_value > alpha``.
    p_value
        An upper bound of the probability, under the null, of data at least this far away.
    observed, expected, standard_error
        Values of the worst member of the family tested: the one with the smallest p-value. Probabilities and
        means per run. The standard error is the null's, except for `decide_mean_by_empirical_bernstein`.
    where
        Flat index of that member; of (row, cell) for laws.
    detail
        More to say, such as the total variation distance of the empirical law.
    """

    agrees: bool
    p_value: float
    observed: float
    expected: float
    standard_error: float
    where: int = 0
    detail: str = ""

    @property
    def sigma(self) -> float:
        """(observed - expected) / standard error; infinite when only the standard error is zero."""
        difference = self.observed - self.expected
        if self.standard_error > 0:
            return difference / self.standard_error
        return 0.0 if abs(difference) <= 1e-9 else float("inf") if difference > 0 else float("-inf")


def check_level(name: str, value: float) -> None:
    """Raise `InputError` unless `value` is a probability strictly between 0 and 1."""
    if not 0 < value < 1:
        raise InputError(f"{name} is {value}; give a probability strictly between 0 and 1")


def check_runs(runs: int) -> None:
    """Raise `InputError` unless `runs` is at least 1."""
    if runs < 1:
        raise InputError(f"runs is {runs}; give a whole number of at least 1")


def smallest_runs(
    detectable: Callable[[int], float], discrepancy: float, *, first: int = 16, precision: float = 0.002
) -> int:
    """Find a number of runs at which `detectable` is at most `discrepancy`, close to the smallest.

    detectable: the smallest detectable discrepancy as a function of the runs, decreasing up to small jumps.
    discrepancy: what must be detectable.
    first: where the search starts.
    precision: relative precision of the answer. The answer always satisfies the condition.
    InputError: `discrepancy` is not positive, or needs more than `MOST_RUNS`.
    """
    if not discrepancy > 0:
        raise InputError(f"discrepancy is {discrepancy}; give a positive number")
    low, high = 0, max(1, first)
    while detectable(high) > discrepancy:
        low, high = high, 2 * high
        if high > MOST_RUNS:
            raise InputError(f"discrepancy is {discrepancy}; that needs more than {MOST_RUNS} runs")
    while high - low > max(1, int(precision * high)):
        middle = (low + high) // 2
        if detectable(middle) <= discrepancy:
            high = middle
        else:
            low = middle
    return high
