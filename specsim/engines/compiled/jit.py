"""The one place with Numba options: how kernels, and the helpers that they call, are compiled and cached.

Numba keeps compiled kernels in the folder that `specsim.engines.compiled.cache` names, which changes with
every source: Numba itself looks only at the file of a kernel, not at those of its helpers.
"""

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import RLock
from typing import Any

import numba
import numpy as np
from numba.core.compiler import CompilerBase, DefaultPassBuilder

from specsim.engines.compiled.cache import cache_folder
from specsim.errors import UnsupportedError

#: Options of every compiled function. Without fastmath, so that floats mean the same on every machine.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}
#: Helpers are called by kernels only.
_HELPER: dict[str, Any] = {**OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_lock = RLock()


class Distinct(CompilerBase):  # type: ignore[misc, unused-ignore]
    """Numba's pipeline for functions whose array arguments never overlap, so that LLVM may use gathers."""

    def define_pipelines(self) -> list[Any]:
        """Return the usual pipeline."""
        self.state.flags.noalias = True
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]


def require_compiler() -> None:
    """Raise `UnsupportedError` when Numba is set not to compile."""
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        raise UnsupportedError(
            "NUMBA_DISABLE_JIT is set; the engines lockstep and alias are compiled, unset it or use "
            "engine='population'"
        )


@cache
def _folder() -> Path | None:
    folder = cache_folder()
    if folder is None:
        warnings.warn(
            "compiled kernels cannot be kept, so that every process compiles them again; "
            "give a folder that can be written by the variable SPECSIM_CACHE_DIR",
            stacklevel=2,
        )
    return folder


def device(function: Callable[..., Any]) -> Any:
    """Mark a helper that kernels call, and whose array arguments may overlap."""
    return numba.njit(**_HELPER)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Mark a helper whose body must stand in its caller, such as in a loop that is to be vectorised."""
    return numba.njit(**_HELPER, forceinline=True)(function)


def lockstep(function: Callable[..., Any]) -> Any:
    """Mark a helper of which no two array arguments ever overlap, so that LLVM may use gathers."""
    return numba.njit(**_HELPER, pipeline_class=Distinct)(function)


def kernel(
    signature: Any = None, *, distinct: bool = False, subfolder: str = "", **options: Any
) -> Callable[[Callable[..., Any]], Any]:
    """Make a kernel: a function that is called from Python, and cached when it has been compiled.

    signature: compiled for it at once. Defaults to None: for the arguments of the first call.
    distinct: whether the caller promises that no two array arguments overlap.
    subfolder: where in the cache the machine code is kept, for a function whose helpers are no sources of
        ours.
    options: more options of `numba.njit`.
    Returns: a decorator.
    """
    options |= OPTIONS | ({"pipeline_class": Distinct} if distinct else {})

    def decorate(function: Callable[..., Any]) -> Any:
        folder = _folder()
        if folder is None:
            return numba.njit(signature, **options)(function)
        with _lock:
            users = numba.config.CACHE_DIR  # type: ignore[attr-defined]
            # Numba reads its setting while it decorates; all other code keeps the user's.
            numba.config.CACHE_DIR = str(folder / subfolder)  # type: ignore[attr-defined]
            try:
                return numba.njit(signature, cache=True, **options)(function)
            except RuntimeError:
                # Nothing can be kept for a function that stands in no file.
                return numba.njit(signature, **options)(function)
            finally:
                numba.config.CACHE_DIR = users  # type: ignore[attr-defined]

    return decorate


def space(rows: int, columns: int) -> np.ndarray:
    """Return zeros, uint32, that begin at a cache line, so that no vector of them spans two."""
    room = np.zeros(rows * columns + 16, np.uint32)
    skip = -room.__array_interface__["data"][0] % 64 // 4
    return room[skip : skip + rows * columns].reshape(rows, columns)
