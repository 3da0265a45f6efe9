"""Simulated numbers of rejections, reduced to what the figures show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from specsim.paper_figures.registry import Task
from specsim.support.hashes import derived_seed

if TYPE_CHECKING:
    import xarray

    from specsim.algorithms import Algorithm
    from specsim.pairs import ModelPair


@dataclass(frozen=True, kw_only=True)
class Rejections:
    """Rejections over many runs.

    total: sum over all runs.
    runs: number of runs.
    seed: the seed of `specsim.simulate`.
    first: int64: the rejections of each of the first runs; empty unless asked for.
    """

    total: int
    runs: int
    seed: int
    first: NDArray[np.int64]


def simulate_rejections(
    task: Task, pair: ModelPair, algorithm: Algorithm, *, runs: int, label: str, first: int = 0
) -> Rejections:
    """Simulate, and keep the total of rejections and those of each of the first runs.

    pair, algorithm, runs: as in `specsim.simulate`.
    label: names the seed, which is derived from that of the task.
    first: for how many of the first runs the rejections of each are kept; at most `runs`.
    """
    from specsim import simulate

    own = derived_seed(task.seed, f"{task.name}/{label}")
    total = 0
    kept = np.zeros(0, np.int64)
    first = min(first, runs)
    if first:
        part = simulate(pair, algorithm, runs=first, seed=own, threads=task.threads, per_run=True)
        kept = part["rejections_of_run"].values
        total += total_rejections(part)
    if runs > first:
        part = simulate(
            pair,
            algorithm,
            runs=runs - first,
            seed=own,
            threads=task.threads,
            first_run=first,
            outcomes=False,
        )
        total += total_rejections(part)
    return Rejections(total=total, runs=runs, seed=own, first=kept)


def total_rejections(result: xarray.Dataset) -> int:
    """Return the sum over all runs of the number of rejections."""
    counts = result["rejection_count"]
    return sum(int(k) * int(n) for k, n in zip(counts["rejections"].values, counts.values, strict=True))


def documented(text: str, units: str = "1") -> dict[str, str]:
    """Return the attributes of a variable."""
    return {"long_name": text, "units": units}
