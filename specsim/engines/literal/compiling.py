"""How the functions of this engine are compiled; see `specsim.engines.compiled.jit`."""

from collections.abc import Callable
from typing import Any

import numba.extending

from specsim.engines.compiled.jit import OPTIONS, kernel

#: Without the run-time library for memory, whose reference counts would take longer than all the rest:
#: compiled functions of this engine make no arrays.
_LEAN: dict[str, Any] = {"_nrt": False}


def helper(function: Callable[..., Any]) -> Any:
    """Let compiled functions call a helper, which stays an ordinary Python function."""
    return numba.extending.register_jitable(forceinline=True, **OPTIONS, **_LEAN)(function)


def entry(function: Callable[..., Any], signature: Any, **options: Any) -> Any:
    """Compile a function for exactly one signature; its machine code is kept for later processes."""
    return kernel(signature, **{**_LEAN, **options})(function)
