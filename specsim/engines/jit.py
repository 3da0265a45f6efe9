"""The one place with Numba options, and the cache of compiled kernels.

Numba's own cache looks at the file of the cached function only: an edit in a helper's file leaves the old
machine code in use. The folder used here is therefore named after a hash of all kernel sources.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba

#: Options of every compiled function. Without fastmath, so that floats mean the same on every machine.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}

#: Numba's settings, a module whose attributes are made at run time.
config: Any = numba.config

_STALE_SECONDS = 30 * 24 * 3600.0


def device(function: Callable[..., Any]) -> Any:
    """Compile a helper that kernels call; it is compiled into each of them and cached with them."""
    return numba.njit(**OPTIONS)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a helper whose body must stand in its caller, such as in a loop that is to be vectorised."""
    return numba.njit(forceinline=True, **OPTIONS)(function)


def _distinct_arrays() -> dict[str, Any]:
    """Options that tell LLVM that no two array arguments overlap, so that it may use gathers.

    The compiler pipeline is a semi-public part of Numba: without it kernels are slower, with equal results.
    """
    try:
        from numba.core.compiler import CompilerBase, DefaultPassBuilder
    except ImportError:
        return {}

    class DistinctArrays(CompilerBase):
        """The usual pipeline, with the flag set."""

        def define_pipelines(self) -> list[Any]:
            with contextlib.suppress(AttributeError):
                self.state.flags.noalias = True
            return [DefaultPassBuilder.define_nopython_pipeline(self.state)]

    return {"pipeline_class": DistinctArrays}


_DISTINCT = _distinct_arrays()


def lockstep(function: Callable[..., Any]) -> Any:
    """Compile a helper that is one loop over runs, to be vectorised; no two array arguments may overlap."""
    return numba.njit(**OPTIONS, **_DISTINCT)(function)


#: Without the entry points that calls from Python need, which take a good part of the time to compile.
_HIDDEN: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def hidden(function: Callable[..., Any]) -> Any:
    """Compile a helper that only compiled code calls; no two array arguments may overlap."""
    return numba.njit(**OPTIONS, **_DISTINCT, **_HIDDEN)(function)


def hidden_inlined(function: Callable[..., Any]) -> Any:
    """Compile a helper that only compiled code calls and whose body must stand in its caller."""
    return numba.njit(forceinline=True, **OPTIONS, **_HIDDEN)(function)


def kernel(signature: Any, *, distinct: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function for exactly one signature, through the cache on disk when there is one.

    Parameters
    ----------
    signature
        The Numba signature. Arguments of other types are refused instead of compiled again.
    distinct
        Whether the caller promises that no two array arguments overlap.

    Returns
    -------
    callable
        A decorator.
    """
    options = {**OPTIONS, **_DISTINCT} if distinct else OPTIONS

    def decorate(function: Callable[..., Any]) -> Any:
        folder = cache_folder()
        if folder is None:
            return numba.njit(signature, **options)(function)
        before = config.CACHE_DIR
        config.CACHE_DIR = str(folder)
        try:
            return numba.njit(signature, cache=True, **options)(function)
        except (OSError, EOFError):
            # A full disk or a file cut short must not stop a simulation.
            return numba.njit(signature, **options)(function)
        finally:
            config.CACHE_DIR = before

    return decorate


def sources() -> list[Path]:
    """Files whose text decides what the kernels compile to."""
    here = Path(__file__).resolve().parent
    return [Path(__file__).resolve(), here / "philox.py", *sorted((here / "kernels").glob("*.py"))]


def digest(files: list[Path]) -> str:
    """Hash the text of `files` and the versions of Python and Numba."""
    state = hashlib.sha256()
    state.update(f"{sys.version}|{platform.machine()}|numba {numba.__version__}".encode())
    for file in files:
        state.update(f"|{file.name}|".encode())
        state.update(file.read_bytes())
    return state.hexdigest()[:20]


def cache_root() -> Path:
    """Folder for all versions of the compiled kernels; the variable SPECSIM_CACHE_DIR overrides it."""
    chosen = os.environ.get("SPECSIM_CACHE_DIR")
    if chosen:
        return Path(chosen) / "kernels"
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "specsim" / "kernels"


@cache
def cache_folder() -> Path | None:
    """Return the cache folder for the present sources, or None when it cannot be written."""
    try:
        root = cache_root()
        folder = root / digest(sources())
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        os.utime(folder)
    except (OSError, RuntimeError):
        return None
    _prune(root, folder)
    return folder


def _prune(root: Path, keep: Path) -> None:
    """Remove folders of other sources that nobody has used for a month."""
    limit = time.time() - _STALE_SECONDS
    with contextlib.suppress(OSError):
        for folder in root.iterdir():
            if folder != keep and folder.is_dir() and folder.stat().st_mtime < limit:
                shutil.rmtree(folder, ignore_errors=True)
