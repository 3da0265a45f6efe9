"""`specsim.simulate`: check the request, run an engine, label the result."""

from __future__ import annotations

import operator
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from specsim.algorithms import Algorithm
from specsim.engines.alias import run_alias
from specsim.engines.literal import run_literal
from specsim.engines.memory import require
from specsim.engines.population import run_population
from specsim.engines.results import to_dataset
from specsim.engines.scheduling import available_cores
from specsim.engines.tallies import Shape, Tallies, Tally
from specsim.errors import InputError
from specsim.pairs import ModelPair

if TYPE_CHECKING:
    import xarray

#: Engines by name.
ENGINES: dict[str, Callable[..., Tally]] = {
    "literal": run_literal,
    "alias": run_alias,
    "population": run_population,
}

_MOST_RUNS = 2**62


def simulate(
    pair: ModelPair,
    algorithm: Algorithm,
    *,
    runs: int,
    seed: int | None = None,
    horizon: int | None = None,
    engine: str = "literal",
    threads: int | None = None,
    first_run: int = 0,
    per_run: bool = False,
    outcomes: bool | None = None,
    tallies: Tallies = "all",
    progress: Callable[[int], object] | None = None,
) -> xarray.Dataset:
    """Simulate the runs ``first_run .. first_run + runs - 1`` and tally what happens.

    Every random word is a function of (seed, run, draw), so the result does not depend on the number of
    threads, and results of disjoint ranges of runs add up (`specsim.merge`).

    Parameters
    ----------
    pair
        The draft and the target model.
    algorithm
        A descriptor, such as ``Speculative()``.
    runs
        Number of runs, 1 to 2^62.
    seed
        0 to 2^64 - 1. Defaults to None: drawn from the operating system and recorded in the result.
    horizon
        Tokens per run. Defaults to None, the pair's own.
    engine
        ``"literal"``: the published pseudo-code step by step. ``"alias"``: one draw per token from the law of
        (token, rejected or not); much faster, equal in law by Theorem 1 of 2411.00841 (and to within 2^-32
        per token and context for rules whose masses are not multiples of 2^-32). Not for
        `BlockVerification`. ``"population"``: counts of runs move together, at a cost that does not depend on
        `runs` (up to 2^53); equal in law, for aggregated counts only, not for `BlockVerification`.
    threads
        Defaults to None, one per available core.
    first_run
        Number of the first run.
    per_run
        Whether to keep the rejections of each run.
    outcomes
        Whether to count whole outcomes (sequence and set of rejected positions). Defaults to None: where
        there are at most 4096, unless ``tallies="rejections"``.
    tallies
        ``"all"``, or ``"rejections"``: only rejections per step and per run and tokens per step, which is
        faster.
    progress
        Called in the calling thread with the number of finished runs.

    Returns
    -------
    xarray.Dataset
        int64 counts, as listed in `specsim.engines.variables`; provenance in the attributes.

    Raises
    ------
    InputError
        A value out of range, an unknown engine, an algorithm that the engine does not know or that does not
        fit the pair; as `TooLargeError` when memory would not suffice.
    """
    if not isinstance(pair, ModelPair):
        raise InputError(f"pair is {pair!r}; give a specsim.ModelPair")
    runs = _whole("runs", runs, 1, _MOST_RUNS)
    first_run = _whole("first_run", first_run, 0, _MOST_RUNS)
    seed = secrets.randbits(64) if seed is None else _whole("seed", seed, 0, 2**64 - 1)
    threads = available_cores() if threads is None else _whole("threads", threads, 1, 4096)
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
    shape = Shape.of(pair, length, outcomes if single_runs else bool(outcomes), tallies)
    rejections_of_run = None
    if per_run:
        require(8 * runs, "per_run", "use fewer runs, or per_run=False")
        rejections_of_run = np.zeros(runs, np.int64)
    tally = ENGINES[engine](
        pair,
        algorithm,
        shape,
        seed=seed,
        first_run=first_run,
        runs=runs,
        threads=threads,
        rejections_of_run=rejections_of_run,
        progress=progress,
    )
    return to_dataset(
        tally,
        pair=pair,
        algorithm=algorithm,
        engine=engine,
        seed=seed,
        first_run=first_run,
        runs=runs,
        rejections_of_run=rejections_of_run,
    )


def _whole(field: str, value: object, low: int, high: int) -> int:
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
