"""`specsim.simulate`: one request, at once or in chunks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from specsim.algorithms import Algorithm
from specsim.engines.simulation import check_request, perform
from specsim.engines.tallies.tally import Tallies
from specsim.errors import InputError
from specsim.pairs import ModelPair
from specsim.scale.running import check_threads, run_requests
from specsim.support.progress import Progress, reporting

if TYPE_CHECKING:
    import xarray


def simulate(
    pair: ModelPair | str,
    algorithm: Algorithm | str,
    *,
    runs: float,
    seed: int | None = None,
    horizon: int | None = None,
    engine: str = "auto",
    threads: int | None = None,
    first_run: int = 0,
    per_run: bool = False,
    outcomes: bool | None = None,
    tallies: Tallies = "all",
    progress: Progress = None,
    store: str | os.PathLike[str] | None = None,
    cluster: Any = None,
    chunk_runs: int | None = None,
    device: str | None = None,
) -> xarray.Dataset:
    """Simulate `runs` runs, numbered from `first_run` on, and tally what happens.

    Every random word is a function of (seed, run, draw), so the result does not depend on the number of
    threads, on chunks, on a restart or on where it is computed, and results of disjoint ranges of runs add up
    (`specsim.merge`).

    Parameters
    ----------
    pair
        The draft and the target model.
    algorithm
        A descriptor, such as ``Speculative()``.
    runs
        Number of runs, 1 to 2^62.
    seed
        0 to 2^64 - 1. Defaults to None: drawn from the operating system and recorded in the result. With
        `store` it must be given.
    horizon
        Tokens per run. Defaults to None, the pair's own.
    engine
        ``"lockstep"``: the published steps, position by position, many runs side by side; for rules that
        decide position by position, on a chain or on paths. ``"literal"``: every rule and draft structure,
        run by run. ``"auto"``: lockstep where it serves, else literal; the attribute ``engine`` of the result
        records which. ``"alias"``: one draw per token from the law of (token, rejected or not); much faster,
        equal in law by Theorem 1 of 2411.00841 (and to within 2^-32 per token and context for rules whose
        masses are not multiples of 2^-32). ``"population"``: counts of runs move together, at a cost that
        does not depend on `runs` (up to 2^53); equal in law, for aggregated counts only. ``"torch"``: the
        lockstep engine through torch (the extra ``torch``), the same counts to the bit. The last three serve
        what lockstep serves.
    threads
        Defaults to None, one per available core. Not to be given with `cluster`.
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
        Called in the calling thread with the number of finished runs; True: a line on standard error says it,
        in terminals and notebooks. Defaults to None: nothing is said.
    store
        A folder of finished chunks, created when missing. Chunks found there are not computed again, and
        each finished one is put there, so that a simulation that was cut short goes on where it was, also
        with more runs. A damaged chunk is computed again, with a `specsim.errors.StoreWarning`. Defaults to
        None: nothing is kept.
    cluster
        The address of a Dask scheduler, such as ``"tcp://10.0.0.1:8786"``, or a `dask.distributed.Client`:
        the chunks are computed by its workers. Defaults to None: in this process.
    chunk_runs
        Runs per chunk. Defaults to None: chosen from the request alone. The result does not depend on it.
    device
        With ``engine="torch"``: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``, .. Defaults to None: the first CUDA
        device if there is one, or the processor. The result does not depend on it.

    Returns
    -------
    xarray.Dataset
        int64 counts, as listed in `specsim.engines.tallies.variables`; provenance in the attributes.

    Raises
    ------
    InputError
        A value out of range, an unknown engine, an algorithm that the engine does not know or that does not
        fit the pair; as `TooLargeError` when memory would not suffice. A store that cannot be written or
        holds a chunk of something else; a cluster that cannot be reached, whose workers run another version,
        or that is lost.

    Examples
    --------
    >>> from specsim import Speculative, paper_pair, simulate
    >>> result = simulate(paper_pair(2), Speculative(), runs=1000, seed=1)
    >>> int(result.rejection_count.sum())
    1000
    """
    request = check_request(
        pair,
        algorithm,
        runs=runs,
        seed=seed,
        horizon=horizon,
        engine=engine,
        first_run=first_run,
        per_run=per_run,
        outcomes=outcomes,
        tallies=tallies,
        device=device,
    )
    if store is not None and not isinstance(store, str | os.PathLike):
        raise InputError(f"store is {store!r}; give the path of a folder")
    if store is not None and seed is None:
        raise InputError("seed is None; a simulation with a store needs its seed, give seed=")
    with reporting(progress, request.runs) as report:
        if store is None and cluster is None and chunk_runs is None:
            return perform(
                request,
                first_run=request.first_run,
                runs=request.runs,
                threads=check_threads(threads),
                progress=report,
            )
        ((_, dataset),) = run_requests(
            [request], store=store, cluster=cluster, threads=threads, chunk_runs=chunk_runs, progress=report
        )
    return dataset
