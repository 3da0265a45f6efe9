"""A checked request, and its execution by an engine, here and now.

`specsim.simulate` is in `specsim.scale`, which cuts requests into chunks, computed here or elsewhere.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from specsim.algorithms import Algorithm
from specsim.engines.alias import engine as alias
from specsim.engines.literal import engine as literal
from specsim.engines.lockstep import engine as lockstep
from specsim.engines.lockstep.plans import serves
from specsim.engines.population import engine as population
from specsim.engines.request import Engine, Request
from specsim.engines.running.memory import require
from specsim.engines.tallies.results import to_dataset
from specsim.engines.tallies.tally import Shape, Tallies
from specsim.engines.torch import engine as torch
from specsim.errors import InputError
from specsim.grammar import as_algorithm, as_pair
from specsim.pairs import ModelPair
from specsim.support.checks import whole

if TYPE_CHECKING:
    import xarray

#: Engines by name.
ENGINES: dict[str, Engine] = {
    "literal": literal,
    "lockstep": lockstep,
    "alias": alias,
    "population": population,
    "torch": torch,
}

_MOST_RUNS = 2**62


def check_request(
    pair: ModelPair | str,
    algorithm: Algorithm | str,
    *,
    runs: float,
    seed: int | None = None,
    horizon: int | None = None,
    engine: str = "auto",
    first_run: int = 0,
    per_run: bool = False,
    outcomes: bool | None = None,
    tallies: Tallies = "all",
    device: str | None = None,
) -> Request:
    """Check a request; parameters and errors are those of `specsim.simulate`."""
    pair, algorithm = as_pair(pair), as_algorithm(algorithm)
    runs = whole("runs", runs, 1, _MOST_RUNS, floats=True)
    first_run = whole("first_run", first_run, 0, _MOST_RUNS)
    seed = secrets.randbits(64) if seed is None else whole("seed", seed, 0, 2**64 - 1)
    length = pair.check_horizon(horizon)
    if not isinstance(engine, str) or engine not in ("auto", *ENGINES):
        raise InputError(f"engine is {engine!r}; give one of auto, {', '.join(sorted(ENGINES))}")
    if engine == "auto":
        engine = "lockstep" if serves(algorithm, length) else "literal"
    if device is not None and engine != "torch":
        raise InputError(f"device is {device!r}, but the engine is {engine}; give engine='torch' with it")
    if not isinstance(tallies, str) or tallies not in ("all", "rejections"):
        raise InputError(f"tallies is {tallies!r}; give 'all' or 'rejections'")
    single_runs = engine != "population"
    most = (2**63 - 1) // (length**2 if single_runs else length)
    if runs > most:
        raise InputError(
            f"runs is {runs}, with which counts over horizon {length} could pass 2^63; "
            f"give at most {most} and do not merge more"
        )
    if per_run:
        require(8 * runs, "per_run", "use fewer runs, or per_run=False")
    request = Request(
        pair=pair,
        algorithm=algorithm,
        shape=Shape.of(pair, length, outcomes if single_runs else bool(outcomes), tallies),
        engine=engine,
        seed=seed,
        first_run=first_run,
        runs=runs,
        per_run=bool(per_run),
        device=device,
    )
    ENGINES[engine].check(request)
    return request


def perform(
    request: Request,
    *,
    first_run: int,
    runs: int,
    threads: int,
    progress: Callable[[int], object] | None = None,
) -> xarray.Dataset:
    """Run an engine on some of a request's runs and label the tallies.

    request: what to simulate.
    first_run, runs: the runs ``first_run .. first_run + runs - 1``.
    threads: number of workers in this process.
    progress: called in the calling thread with the number of finished runs.
    """
    rejections_of_run = np.zeros(runs, np.int64) if request.per_run else None
    tally = ENGINES[request.engine].run(
        request,
        first_run,
        runs,
        threads=threads,
        rejections_of_run=rejections_of_run,
        progress=progress,
    )
    return to_dataset(tally, request, first_run, runs, rejections_of_run)
