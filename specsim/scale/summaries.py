"""The Dataset of a sweep: counts, means with standard errors, and laws of every combination."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.algorithms import Algorithm
from specsim.engines.request import Request
from specsim.engines.tallies.variables import VARIABLES
from specsim.errors import InputError
from specsim.pairs import ModelPair
from specsim.support.labelled import Variable, registry

if TYPE_CHECKING:
    import xarray

_CELL = ("pair", "algorithm")


def _summary(name: str, *dims: str, meaning: str, dtype: str = "float64", rounds: bool = False) -> Variable:
    # Summaries of rounds need tallies="all".
    return Variable(name=name, dims=dims, meaning=meaning, dtype=dtype, required=not rounds)


def _copied(name: str) -> Variable:
    counts = VARIABLES[name]
    return _summary(name, *counts.dims, meaning=counts.meaning, dtype="int64", rounds=not counts.required)


#: All variables of a sweep, in order; their dims come after ``pair`` and ``algorithm``.
SUMMARIES = registry((
    _summary("mean_rejections", meaning="Mean number of rejections per run."),
    _summary("mean_rejections_error", meaning="Standard error of mean_rejections."),
    _summary("mean_target_calls", meaning="Mean number of target calls per run.", rounds=True),
    _summary("mean_target_calls_error", meaning="Standard error of mean_target_calls.", rounds=True),
    _summary(
        "block_efficiency",
        meaning="Tokens per target call: the horizon divided by mean_target_calls.",
        rounds=True,
    ),
    _summary(
        "block_efficiency_error", meaning="Standard error of block_efficiency, to first order.", rounds=True
    ),
    _summary(
        "rejection_rate",
        "step",
        meaning="Share of runs in which the position was rejected; NaN beyond the horizon.",
    ),
    _summary("rejection_law", "rejections", meaning="Share of runs with k rejections."),
    _summary("target_call_law", "calls", meaning="Share of runs with k target calls.", rounds=True),
    _copied("rejections_by_step"),
    _copied("rejection_count"),
    _copied("target_call_count"),
    _copied("accepted_length_count"),
    _copied("first_accepted_length_count"),
))  # fmt: skip


class Summaries:
    """Summaries of the requests of a sweep, filled in as results come."""

    def __init__(
        self,
        pairs: dict[str, ModelPair],
        algorithms: dict[str, Algorithm],
        requests: list[Request],
        seed: int,
    ) -> None:
        self.pairs = pairs
        self.algorithms = algorithms
        self.requests = requests
        self.longest = max(request.shape.horizon for request in requests)
        self.attributes: dict[str, Any] = {"sweep_seed": seed, "runs": requests[0].runs}
        lengths = {"step": self.longest}
        self.arrays: dict[str, np.ndarray] = {}
        for name, summary in SUMMARIES.items():
            if not summary.required and not requests[0].shape.rounds:
                continue
            shape = (len(requests), *(lengths.get(dim, self.longest + 1) for dim in summary.dims))
            scalar_or_rate = summary.dtype == "float64" and summary.dims in ((), ("step",))
            self.arrays[name] = np.full(shape, math.nan if scalar_or_rate else 0, summary.dtype)

    def add(self, index: int, dataset: xarray.Dataset) -> None:
        """Summarise the result of a request."""
        self.attributes |= {name: dataset.attrs[name] for name in ("specsim", "numpy", "numba")}
        runs, horizon = int(dataset.attrs["runs"]), int(dataset.attrs["horizon"])
        found: dict[str, Any] = {
            name: dataset[name].values for name in SUMMARIES if name in dataset and name in self.arrays
        }
        found["rejection_rate"] = found["rejections_by_step"] / runs
        found["rejection_law"] = found["rejection_count"] / runs
        found["mean_rejections"], found["mean_rejections_error"] = _mean(found["rejection_count"])
        if "target_call_count" in found:
            found["target_call_law"] = found["target_call_count"] / runs
            mean, error = _mean(found["target_call_count"])
            found["mean_target_calls"], found["mean_target_calls_error"] = mean, error
            found["block_efficiency"] = horizon / mean
            found["block_efficiency_error"] = horizon / mean**2 * error
        for name, values in found.items():
            if np.ndim(values):
                self.arrays[name][index, : len(values)] = values
            else:
                self.arrays[name][index] = values

    def dataset(self) -> xarray.Dataset:
        """Return all summaries, labelled."""
        import xarray

        cells = (len(self.pairs), len(self.algorithms))
        variables = {
            name: (
                (*_CELL, *SUMMARIES[name].dims),
                values.reshape(*cells, *values.shape[1:]),
                {"long_name": SUMMARIES[name].meaning},
            )
            for name, values in self.arrays.items()
        }
        coordinates: dict[str, Any] = {
            "pair": list(self.pairs),
            "algorithm": list(self.algorithms),
            "step": np.arange(1, self.longest + 1),
            **self._about_pairs(),
            **self._about_algorithms(),
            "seed": (
                _CELL,
                np.array([request.seed for request in self.requests], np.uint64).reshape(cells),
                {"long_name": "Seed of the simulation."},
            ),
            "engine": (
                _CELL,
                np.array([request.engine for request in self.requests]).reshape(cells),
                {"long_name": "Engine that simulated."},
            ),
        }
        used = {dim for _, (dims, _, _) in variables.items() for dim in dims}
        for dim in ("rejections", "calls", "accepted"):
            if dim in used:
                coordinates[dim] = np.arange(self.longest + 1)
        return xarray.Dataset(variables, coords=coordinates, attrs=self.attributes)

    def _about_pairs(self) -> dict[str, Any]:
        pairs = list(self.pairs.values())
        horizons = [request.shape.horizon for request in self.requests[:: len(self.algorithms)]]
        return {
            "horizon": ("pair", horizons, {"long_name": "Tokens emitted per run."}),
            "contexts": ("pair", [pair.contexts for pair in pairs]),
            "tokens": ("pair", [pair.tokens for pair in pairs]),
            "pair_identity": ("pair", [pair.identity for pair in pairs]),
        }

    def _about_algorithms(self) -> dict[str, Any]:
        algorithms = list(self.algorithms.values())
        given = [
            {**{field.name: getattr(item, field.name) for field in fields(item)}, **item.parameters}  # type: ignore[arg-type]
            for item in algorithms
        ]

        def parameter(name: str, meaning: str) -> Any:
            values = [options.get(name) for options in given]
            numbers = [math.nan if value is None else float(value) for value in values]
            return "algorithm", numbers, {"long_name": meaning}

        return {
            "keyword": ("algorithm", [algorithm.label.partition(":")[0] for algorithm in algorithms]),
            "algorithm_identity": ("algorithm", [algorithm.identity for algorithm in algorithms]),
            "draft_length": parameter(
                "draft_length", "Drafted tokens per call; NaN to the horizon, or none."
            ),
            "drafts": parameter("drafts", "Parallel drafts; NaN where there is no such parameter."),
            "epsilon": parameter("epsilon", "Over-acceptance; NaN where there is no such parameter."),
        }


def _mean(counts: np.ndarray) -> tuple[float, float]:
    """Return the mean of a histogram over 0, 1, ... and its standard error."""
    runs = int(counts.sum())
    if runs == 0:
        raise InputError("counts are empty; give the tallies of at least one run")
    values = np.arange(len(counts), dtype=np.float64)
    mean = float(values @ counts / runs)
    if runs == 1:
        return mean, math.nan
    return mean, math.sqrt(float((values - mean) ** 2 @ counts) / (runs - 1) / runs)
