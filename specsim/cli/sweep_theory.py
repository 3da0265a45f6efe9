"""Theory's columns beside those of a sweep; simulation itself knows nothing of theory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from specsim.cli.comparison import mean_line, theory_of

if TYPE_CHECKING:
    import xarray

    from specsim.scale.sweeps import SweepPlan

#: Histogram of the sweep, theory's law and mean, and the names of the new variables.
_COMPARED = (
    ("rejection_count", "rejection_law", "expected_rejections", "rejections_sigma"),
    ("target_call_count", "target_call_law", "expected_target_calls", "target_calls_sigma"),
)
_MEANINGS = {
    "expected_rejections": "Expected number of rejections per run, from theory; NaN where it is silent.",
    "rejections_sigma": "(mean_rejections - expected_rejections) in standard errors of theory's law.",
    "expected_target_calls": "Expected number of target calls per run, from theory; NaN where it is silent.",
    "target_calls_sigma": "(mean_target_calls - expected_target_calls) in standard errors of theory's law.",
}


def add_theory(dataset: xarray.Dataset, plan: SweepPlan) -> tuple[xarray.Dataset, dict[str, str]]:
    """Add expectations and distances in standard errors.

    dataset: the result of the sweep.
    plan: the sweep.
    Returns dataset: with the new variables, over ``(pair, algorithm)``.
    Returns silence: Why theory does not know a combination, for those that it does not know.
    """
    compared = [row for row in _COMPARED if row[0] in dataset]
    shape = (len(plan.pairs), len(plan.algorithms))
    found = {name: np.full(shape, math.nan) for row in compared for name in row[2:]}
    silence: dict[str, str] = {}
    for index, request in enumerate(plan.requests):
        place = divmod(index, shape[1])
        horizon = request.shape.horizon
        asked = [name for row in compared for name in row[1:3]]
        known, reason = theory_of(request.pair, request.algorithm, horizon, asked)
        if reason is not None:
            cell = dataset.isel(pair=place[0], algorithm=place[1])
            silence[f"{cell['algorithm'].item()} on {cell['pair'].item()}"] = reason
        for counts, law, mean, sigma in compared:
            histogram = dataset[counts].values[place][: horizon + 1]
            line = mean_line(counts, histogram, known.get(law), known.get(mean))
            found[mean][place] = math.nan if line.expected is None else line.expected
            found[sigma][place] = math.nan if line.sigma is None else line.sigma
    variables = {
        name: (("pair", "algorithm"), values, {"long_name": _MEANINGS[name]})
        for name, values in found.items()
    }
    return dataset.assign(variables), silence
