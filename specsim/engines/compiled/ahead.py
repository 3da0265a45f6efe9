"""All kernels compiled before they are needed."""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from specsim.engines.compiled.cache import cache_folder
from specsim.engines.compiled.cpu import permutes_bytes
from specsim.engines.running.scheduling import available_cores
from specsim.engines.tallies.tally import Tallies
from specsim.errors import InputError


def compile_kernels(engine: str, path: str | None) -> None:
    """Compile the kernels of an engine, unless they are in the cache."""
    from specsim import Speculative, paper_pair, simulate
    from specsim.engines.alias.engine import PATH_VARIABLE
    from specsim.engines.literal.pointers import compile_rules

    if engine == "literal":
        compile_rules()
        return
    if path is not None:
        os.environ[PATH_VARIABLE] = path
    tallies: Tallies = "all" if path in (None, "rounds") else "rejections"
    simulate(paper_pair(3), Speculative(), runs=10, seed=1, engine=engine, tallies=tallies, threads=1)


def jobs() -> list[tuple[str, str | None]]:
    """Return engines and paths that together need every kernel, those that take longest first."""
    paths = ["rounds", "gather", *(["permute"] if permutes_bytes() else [])]
    return [("lockstep", None), ("literal", None), *(("alias", path) for path in paths)]


def compile_all(report: Callable[[str], object] = print, processes: int | None = None) -> Path:
    """Compile all kernels and return the folder where they are kept.

    report: called with a line for each job.
    processes: defaults to None: one for each available core.
    InputError: the cache cannot be written.
    """
    folder = cache_folder()
    if folder is None:
        raise InputError(
            "the cache of compiled kernels cannot be written; give a folder that can by the variable "
            "SPECSIM_CACHE_DIR"
        )
    # Not forked: another thread may hold a lock of the compiler.
    with ProcessPoolExecutor(processes or available_cores(), get_context("spawn")) as pool:
        for (engine, path), done in [(job, pool.submit(compile_kernels, *job)) for job in jobs()]:
            done.result()
            report(f"compiled: {engine}{f', {path}' if path else ''}")
    return folder
