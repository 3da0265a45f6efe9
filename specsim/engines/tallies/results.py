"""Tallies as labelled, documented, mergeable Datasets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.engines.tallies.tally import Tally
from specsim.engines.tallies.variables import ROUND_VARIABLES, VARIABLES, check
from specsim.errors import InputError

if TYPE_CHECKING:
    import xarray

    from specsim.engines.request import Request

#: Attributes that must agree for results to be merged.
_SAME = (
    "specsim", "engine", "seed", "algorithm_identity", "pair_identity", "horizon",
)  # fmt: skip

Range = tuple[int, int]


def to_dataset(
    tally: Tally, request: Request, first_run: int, runs: int, rejections_of_run: np.ndarray | None
) -> xarray.Dataset:
    """Label the tallies of some runs of a request."""
    shape, algorithm, pair = request.shape, request.algorithm, request.pair
    variables: dict[str, np.ndarray] = {
        name: getattr(tally, name)
        for name in ("rejections_by_step", "rejection_count", *(ROUND_VARIABLES if shape.rounds else ()))
        # No single runs, hence no sum over runs of a square.
        if (request.engine != "population" or name != "accepted_length_square_sum")
        and (name != "round_count" or tally.round_count.size)
    }
    if shape.transitions:
        transitions = tally.tokens.reshape(shape.horizon, shape.contexts, shape.tokens)
        variables["token_count"] = transitions.sum(axis=1)
        variables["transition_count"] = transitions
    else:
        variables["token_count"] = tally.tokens
    if shape.outcomes:
        variables["outcome_count"] = tally.outcomes
    if rejections_of_run is not None:
        variables["rejections_of_run"] = rejections_of_run
    attributes: dict[str, Any] = {
        "specsim": _version("specsim-decoding"),
        "numpy": np.__version__,
        "numba": _version("numba"),
        "engine": request.engine,
        "seed": request.seed,
        "algorithm": algorithm.label,
        "algorithm_identity": algorithm.identity,
        "pair": pair.name,
        "pair_identity": pair.identity,
        "horizon": shape.horizon,
        "runs": runs,
        "first_run": first_run,
        "run_ranges": _spell([(first_run, first_run + runs)]),
    }
    return _labelled(variables, attributes)


def merge(datasets: Iterable[xarray.Dataset]) -> xarray.Dataset:
    """Add results of disjoint run ranges of one simulation.

    The sum equals, to the last count, what a single simulation of all these runs returns.

    Parameters
    ----------
    datasets
        Results of `specsim.simulate` or of `merge`, at least one, in any order.

    Returns
    -------
    xarray.Dataset
        Optional variables are kept where all results have them.

    Raises
    ------
    InputError
        No result, damaged results, results of different pairs, algorithms, seeds, engines, horizons or
        versions, or run ranges that overlap.

    Examples
    --------
    >>> from specsim import Speculative, merge, paper_pair, simulate
    >>> pair, algorithm = paper_pair(2), Speculative()
    >>> halves = [simulate(pair, algorithm, runs=50, seed=1, first_run=first) for first in (0, 50)]
    >>> int(merge(halves).rejection_count.sum())
    100
    """
    if not isinstance(datasets, Iterable):
        raise InputError(f"datasets is {datasets!r}; give a list of results of specsim.simulate")
    parts = list(datasets)
    if not parts:
        raise InputError("datasets is empty; give at least one result of specsim.simulate")
    for part in parts:
        check(part)
    first = parts[0]
    for part in parts[1:]:
        for name in _SAME:
            if part.attrs[name] != first.attrs[name]:
                raise InputError(
                    f"datasets have different {name} ({first.attrs[name]} and {part.attrs[name]}); "
                    "merge results of one simulation only"
                )
    ranges = sorted(piece for part in parts for piece in _ranges(part.attrs))
    for before, after in pairwise(ranges):
        if after[0] < before[1]:
            raise InputError(
                f"datasets overlap in run {after[0]}; give results of disjoint run ranges (first_run=)"
            )
    shared = [name for name in VARIABLES if all(name in part for part in parts)]
    totals: dict[str, np.ndarray] = {}
    for name in shared:
        if "run" in VARIABLES[name].dims:
            pieces = []
            for part in parts:
                values = part[name].values
                for start, stop in _ranges(part.attrs):
                    pieces.append((start, values[: stop - start]))
                    values = values[stop - start :]
            totals[name] = np.concatenate([values for _, values in sorted(pieces, key=lambda item: item[0])])
        else:
            totals[name] = np.stack([part[name].values for part in parts]).sum(axis=0, keepdims=False)
    attributes = dict(first.attrs)
    attributes["runs"] = sum(int(part.attrs["runs"]) for part in parts)
    attributes["first_run"] = ranges[0][0]
    attributes["run_ranges"] = _spell(ranges)
    return _labelled(totals, attributes)


def _labelled(variables: dict[str, np.ndarray], attributes: dict[str, Any]) -> xarray.Dataset:
    """Build the Dataset, with coordinates, and check it against the registry."""
    sizes = {
        dim: size
        for name, values in variables.items()
        for dim, size in zip(VARIABLES[name].dims, values.shape, strict=True)
    }
    coordinates: dict[str, np.ndarray] = {}
    for name, size in sizes.items():
        if name == "run":
            pieces = [np.arange(start, stop, dtype=np.int64) for start, stop in _ranges(attributes)]
            coordinates[name] = np.concatenate(pieces)
        else:
            coordinates[name] = np.arange(size, dtype=np.int64) + (1 if name == "step" else 0)
    described = {
        name: (variable.dims, variables[name], {"long_name": variable.meaning})
        for name, variable in VARIABLES.items()
        if name in variables
    }
    dataset = assemble(described, coordinates, attributes)
    check(dataset)
    return dataset


def assemble(
    variables: Mapping[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]],
    coordinates: Mapping[str, np.ndarray],
    attributes: Mapping[str, Any],
) -> xarray.Dataset:
    """Return what ``xarray.Dataset(variables, coordinates, attributes)`` returns, without loading Dask.

    The constructor imports all of Dask, where it is installed, to find out whether an array is one of Dask's.
    """
    import pandas
    import xarray

    return xarray.Dataset(
        {name: xarray.Variable(*parts, fastpath=True) for name, parts in variables.items()},
        coords={
            name: xarray.IndexVariable(name, pandas.Index(values), fastpath=True)
            for name, values in coordinates.items()
        },
        attrs=dict(attributes),
    )


def _spell(ranges: list[Range]) -> str:
    """Spell sorted disjoint ranges, adjoining ones joined."""
    joined: list[list[int]] = []
    for start, stop in ranges:
        if joined and joined[-1][1] == start:
            joined[-1][1] = stop
        else:
            joined.append([start, stop])
    return ",".join(f"{start}:{stop}" for start, stop in joined)


def _ranges(attributes: Mapping[Any, Any]) -> list[Range]:
    """Read the run ranges of a result, in the order in which its per-run values are stored."""
    text = str(attributes["run_ranges"])
    try:
        ranges = [(int(start), int(stop)) for start, stop in (part.split(":") for part in text.split(","))]
    except ValueError:
        raise InputError(f"run_ranges is {text!r}; give a result of specsim.simulate") from None
    if sum(stop - start for start, stop in ranges) != int(attributes["runs"]):
        raise InputError(f"run_ranges is {text!r} but runs is {attributes['runs']}; the result is damaged")
    return ranges


def _version(distribution: str) -> str:
    if distribution == "specsim-decoding":
        from specsim import __version__

        return __version__
    return version(distribution)
