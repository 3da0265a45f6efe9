"""All kernels compiled before they are needed: ``python -m specsim.engines``."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from specsim.engines.compiled.cache import cache_folder
from specsim.engines.compiled.cpu import permutes_bytes
from specsim.engines.compiled.native import MachineCode, kernel
from specsim.engines.running.scheduling import available_cores
from specsim.errors import InputError

#: Module and name of the kernels, those that take longest first.
_EVERYWHERE = (
    ("lockstep.kernels.chain", "advance"),
    ("alias.kernels.rounds", "advance_rounds"),
    ("alias.kernels.rejections", "advance_rejections"),
    ("lockstep.kernels.block", "verify_blocks"),
    ("compiled.guides", "build_rows"),
    ("alias.kernels.build", "build"),
)


def kernels() -> list[tuple[str, str]]:
    """Return module and name of the kernels for this processor, those that take longest first."""
    permuting = [("alias.kernels.permute", "advance_permuted")] if permutes_bytes() else []
    return [*_EVERYWHERE[:1], *permuting, *_EVERYWHERE[1:]]


def compile_all(*, jobs: int | None = None, report: Callable[[str], object] = lambda line: None) -> int:
    """Compile the kernels that are not in the cache yet.

    Parameters
    ----------
    jobs
        Number of processes. Defaults to None: one for each available core. With 1, this one does it all.
    report
        Called with a line for each kernel.

    Returns
    -------
    int
        How many had to be compiled.

    Raises
    ------
    InputError
        The cache cannot be written.
    """
    if cache_folder() is None:
        raise InputError(
            "the cache of compiled kernels cannot be written; give a folder that can by SPECSIM_CACHE_DIR"
        )
    missing = [names for names in kernels() if not _is_stored(*names)]
    jobs = available_cores() if jobs is None else jobs
    if min(jobs, len(missing)) <= 1:
        for names in missing:
            _compile(*names)
            report(f"compiled {'.'.join(names)}")
        return len(missing)
    # Not forked: another thread may hold a lock of the compiler.
    with ProcessPoolExecutor(min(jobs, len(missing)), get_context("spawn")) as pool:
        waiting = {pool.submit(_compile, *names): names for names in missing}
        for done in as_completed(waiting):
            done.result()
            report(f"compiled {'.'.join(waiting[done])}")
    return len(missing)


def _is_stored(module: str, name: str) -> bool:
    path = kernel(module, name).path
    return path is not None and MachineCode.read(path) is not None


def _compile(module: str, name: str) -> None:
    kernel(module, name).load()
