"""What a trace says by itself: Theorem 1 with its error, and what its rounds accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from specsim.records.acceptance_estimates import acceptance_estimates
from specsim.records.trace_files import OUTCOMES, rounds_of
from specsim.support.intervals import Estimate, mean_over

if TYPE_CHECKING:
    import xarray


def theorem_1_of_trace(trace: xarray.Dataset, *, bonus_places: bool = True, level: float = 0.95) -> Estimate:
    """Estimate the expected rejections per sequence by Theorem 1 of 2411.00841: the mean of summed distances.

    Without bias for continuations drawn from the target; the error is that of sequences as independent.

    Parameters
    ----------
    trace
        A trace, as `specsim.read_trace` returns it.
    bonus_places
        Whether the positions that bonus tokens filled count, as they do in the theorem, which has none.
        Without them it is what speculative decoding was to reject on these continuations.
    level
        Confidence of the interval.

    Examples
    --------
    >>> from specsim import read_trace, theorem_1_of_trace
    >>> theorem_1_of_trace(read_trace("trace.nc")).value  # doctest: +SKIP
    16.38
    """
    counted = np.ones(trace.sizes["position"], dtype=bool)
    if not bonus_places:
        counted = trace["outcome"].values != OUTCOMES["bonus"]
    return mean_over(_by_sequence(trace, trace["total_variation"].values * counted), level)


def rejections_of_trace(trace: xarray.Dataset, *, level: float = 0.95) -> Estimate:
    """Estimate the expected rejections per sequence by those that happened."""
    rejected = trace["outcome"].values == OUTCOMES["rejected"]
    return mean_over(_by_sequence(trace, rejected.astype(np.float64)), level)


def acceptance_of_trace(trace: xarray.Dataset, *, level: float = 0.95) -> xarray.Dataset | None:
    """Return the estimates of `acceptance_estimates` from the rounds; None where there are none."""
    accepted, drafted, sequence = rounds_of(trace)
    if accepted.size == 0:
        return None
    return acceptance_estimates(
        accepted, drafted, request=sequence, bonus=bool(trace.attrs.get("bonus", 1)), level=level
    )


def _by_sequence(trace: xarray.Dataset, values: np.ndarray) -> np.ndarray:
    return np.bincount(trace["sequence"].values, weights=values, minlength=int(trace.attrs["sequences"]))
