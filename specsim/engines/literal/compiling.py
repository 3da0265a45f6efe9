"""How the functions of this engine are compiled; see `specsim.engines.compiled.jit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numba.extending

from specsim.engines.compiled.jit import OPTIONS, kernel


def helper(function: Callable[..., Any]) -> Any:
    """Let compiled functions call a helper, which stays an ordinary Python function."""
    return numba.extending.register_jitable(**OPTIONS)(function)


def entry(function: Callable[..., Any], signature: Any, **options: Any) -> Any:
    """Compile a function for exactly one signature; its machine code is kept for later processes."""
    return kernel(signature, **options)(function)
