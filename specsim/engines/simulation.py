"""A checked request, and its execution by an engine, here and now.

`specsim.simulate` is in `specsim.scale`, which cuts requests into chunks, computed here or elsewhere.
"""

from __future__ import annotations

import operator
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from specsim.algorithms import Algorithm
from specsim.engines.alias.engine import run_alias
from specsim.engines.lockstep.engine import run_literal
from specsim.engines.population.engine import run_population
from specsim.engines.running.memory import require
from specsim.engines.tallies.results import to_dataset
from specsim.engines.tallies.tally import Shape, Tallies, Tally
from specsim.engines.torch.engine import run_torch
from specsim.errors import InputError
from specsim.pairs import ModelPair

if TYPE_CHECKING:
    import xarray

#: Engines by name.
ENGINES: dict[str, Callable[..., Tally]] = {
    "literal": run_literal,
    "alias": run_alias,
    "population": run_population,
    "torch": run_torch,
}

_MOST_RUNS = 2**62


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is simulated, checked; how (threads, chunks, where) is not part of it.

    Attributes
    ----------
    pair, algorithm
        The models and the descriptor.
    shape
        What is tallied; its horizon is the one used.
    engine
        A key of `ENGINES`.
    seed, first_run, runs
        Runs ``first_run .. first_run + runs - 1`` of the seed.
    per_run
        Whether the rejections of each run are kept.
    """

    pair: ModelPair
    algorithm: Algorithm
    shape: Shape
    engine: str
    seed: int
    first_run: int
    runs: int
    per_run: bool

    @property
    def divisible(self) -> bool:
        """Whether the tallies of a range of runs are the sum of those of its parts."""
        return self.engine != "population"


def check_request(
    pair: ModelPair,
    algorithm: Algorithm,
    *,
    runs: int,
    seed: int | None = None,
    horizon: int | None = None,
    engine: str = "literal",
    first_run: int = 0,
    per_run: bool = False,
    outcomes: bool | None = None,
    tallies: Tallies = "all",
) -> Request:
    """Check a request; parameters and errors are those of `specsim.simulate`."""
    if not isinstance(pair, ModelPair):
        raise InputError(f"pair is {pair!r}; give a specsim.ModelPair")
    runs = whole("runs", runs, 1, _MOST_RUNS)
    first_run = whole("first_run", first_run, 0, _MOST_RUNS)
    seed = secrets.randbits(64) if seed is None else whole("seed", seed, 0, 2**64 - 1)
    length = pair.check_horizon(horizon)
    if engine not in ENGINES:
        raise InputError(f"engine is {engine!r}; give one of {', '.join(sorted(ENGINES))}")
    if tallies not in ("all", "rejections"):
        raise InputError(f"tallies is {tallies!r}; give 'all' or 'rejections'")
    single_runs = engine != "population"
    most = (2**63 - 1) // (length**2 if single_runs else length)
    if runs > most:
        raise InputError(
            f"runs is {runs}, with which counts over horizon {length} could pass 2^63; "
            f"give at most {most} and merge no more"
        )
    if per_run:
        require(8 * runs, "per_run", "use fewer runs, or per_run=False")
    return Request(
        pair=pair,
        algorithm=algorithm,
        shape=Shape.of(pair, length, outcomes if single_runs else bool(outcomes), tallies),
        engine=engine,
        seed=seed,
        first_run=first_run,
        runs=runs,
        per_run=bool(per_run),
    )


def perform(
    request: Request,
    *,
    first_run: int,
    runs: int,
    threads: int,
    progress: Callable[[int], object] | None = None,
) -> xarray.Dataset:
    """Run an engine on some of a request's runs and label the tallies.

    Parameters
    ----------
    request
        What to simulate.
    first_run, runs
        The runs ``first_run .. first_run + runs - 1``.
    threads
        Number of workers in this process.
    progress
        Called in the calling thread with the number of finished runs.
    """
    shape = request.shape
    rejections_of_run = np.zeros(runs, np.int64) if request.per_run else None
    tally = ENGINES[request.engine](
        request.pair,
        request.algorithm,
        shape,
        seed=request.seed,
        first_run=first_run,
        runs=runs,
        threads=threads,
        rejections_of_run=rejections_of_run,
        progress=progress,
    )
    return to_dataset(
        tally,
        pair=request.pair,
        algorithm=request.algorithm,
        engine=request.engine,
        seed=request.seed,
        first_run=first_run,
        runs=runs,
        rejections_of_run=rejections_of_run,
    )


def whole(field: str, value: object, low: int, high: int) -> int:
    """Return `value` as an int in [low, high]."""
    limits = f"give a whole number from {low} to {high}"
    if isinstance(value, bool | np.bool_):
        raise InputError(f"{field} is {value!r}; {limits}")
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise InputError(f"{field} is {value!r}; {limits}") from None
    if not low <= number <= high:
        raise InputError(f"{field} is {number}; {limits}")
    return number
