"""How the functions of this engine are compiled, and where machine code is kept between processes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numba
import numba.extending

from specsim.engines.compiled.cache import cache_root, compiler, digest

#: Without fastmath, so that floats mean the same on every machine. Without the run-time library for memory,
#: whose reference counts would take as long as all the rest: compiled functions make no arrays.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False, "_nrt": False}
_lock = Lock()


@cache
def folder() -> str:
    """Folder of the machine code, named by a digest of this engine's sources and of the compiler.

    Numba itself notices a change only in the file of the compiled function, not in the helpers that it calls.
    """
    here = Path(__file__).resolve().parent
    sources = sorted([*here.glob("*.py"), *here.glob("kernels/*.py")])
    return str(cache_root() / f"literal-{digest(sources, compiler())}")


def helper(function: Callable[..., Any]) -> Any:
    """Let compiled functions call a helper, which stays an ordinary Python function."""
    return numba.extending.register_jitable(forceinline=True, **_OPTIONS)(function)


def entry(function: Callable[..., Any], signature: Any, **options: Any) -> Any:
    """Compile a function for exactly one signature; its machine code is kept for later processes."""
    chosen = _OPTIONS | options
    with _lock:
        before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
        numba.config.CACHE_DIR = folder()  # type: ignore[attr-defined]
        try:
            return numba.njit(signature, cache=True, **chosen)(function)
        except RuntimeError:
            # Nothing can be kept for a function that stands in no file.
            return numba.njit(signature, **chosen)(function)
        finally:
            numba.config.CACHE_DIR = before  # type: ignore[attr-defined]
