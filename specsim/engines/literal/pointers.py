"""Kernels and the loop as machine code: one compiled loop takes every kernel as a typed function pointer.

The loop is compiled once for all rules, and a kernel once for all pairs and structures; both are kept between
processes.
"""

import hashlib
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from numba import boolean, float64, int64, types, uint32, uint64
from numba.core.errors import NumbaError

from specsim.algorithms import Algorithm, catalogue
from specsim.engines.literal import loop
from specsim.engines.literal.compiling import entry
from specsim.engines.literal.drawing import DRAWINGS
from specsim.engines.literal.kernels import Kernel, kernel_of
from specsim.engines.literal.state import Counts, Models, Step, Table
from specsim.errors import InputError

_ROWS = types.Array(float64, 2, "C", readonly=True)
_NUMBERS, _FLOATS, _COUNTS = int64[::1], float64[::1], int64[:, ::1]
_TABLE = types.NamedTuple((uint32[:, ::1], uint32[:, ::1], uint64), Table)
_STEP = types.NamedTuple(
    (
        *[_NUMBERS] * 4, _FLOATS, _ROWS, _ROWS, _ROWS, float64[:, ::1], _FLOATS,
        uint64[::1], _TABLE, float64[:, :, ::1],
    ),
    Step,
)  # fmt: skip
_MODELS = types.NamedTuple(
    (*[_NUMBERS] * 4, types.Array(int64, 2, "C", readonly=True), _TABLE, _TABLE, _COUNTS), Models
)
_TALLIES = types.NamedTuple((*[_NUMBERS] * 6, *[_COUNTS] * 3, int64, *[_NUMBERS] * 4), Counts)
VERIFY = types.UniTuple(int64, 2)(_STEP, int64)
_PROPOSE = int64(_STEP, int64)
_LOOP = int64(
    types.FunctionType(VERIFY), types.FunctionType(_PROPOSE), int64, boolean, _STEP, _MODELS, _TALLIES,
    uint64, int64, _NUMBERS,
)  # fmt: skip


def loop_and_kernel(algorithm: Algorithm, kernel: Kernel) -> tuple[Any, Any, Any, int]:
    """Return the compiled loop, its `verify` and `propose`, and the number of the way of drawing.

    InputError: a rule of one's own does not compile.
    """
    rule = algorithm.rule
    verify = compiled(kernel.verify, VERIFY, rule.identity if kernel.own else "", rule.name)
    propose = compiled(kernel.propose or _nothing, _PROPOSE, "", rule.name)
    return compiled_loop(), verify, propose, DRAWINGS.index(algorithm.drawing)


def compile_rules() -> None:
    """Compile the loop and all kernels of the catalogue, unless they are in the cache."""
    compiled_loop()
    for rule in catalogue().values():
        if "kernel" in rule.texts:
            kernel = kernel_of(rule)
            compiled(kernel.verify, VERIFY, "", rule.name)
            compiled(kernel.propose or _nothing, _PROPOSE, "", rule.name)


@cache
def compiled_loop() -> Any:
    """Return the loop."""
    return entry(loop.simulate, _LOOP)


def _nothing(step: Any, node: Any) -> int:
    return -1


@cache
def compiled(function: Callable[..., Any], signature: Any, own: str, rule: str) -> Any:
    """Return a function of a rule; `own` is the identity of a user's rule, else empty."""
    if not own:
        return entry(function, signature, no_cpython_wrapper=True)
    try:
        # A stranger's function may make arrays, and its indices are checked.
        # Numba does not see when a helper in another of the user's files changes; the identity does.
        folder = f"own-{hashlib.sha256(own.encode()).hexdigest()[:20]}"
        return entry(function, signature, _nrt=True, boundscheck=True, subfolder=folder)
    except NumbaError as error:
        file = function.__code__.co_filename
        line = (re.findall(r"line (\d+)", str(error)) or [function.__code__.co_firstlineno])[-1]
        texts = [text.strip() for text in str(error).splitlines() if text.strip()]
        reason = next((text for text in texts if not text.startswith("Failed in nopython mode")), texts[0])
        # Numba names its own variables, and all fields of the step.
        reason = re.sub(r" for '\$.*| of type Step\(.*", "", reason)
        raise InputError(
            f"rule {rule} does not compile ({file}, line {line}): {reason}; use loops, numbers, arrays "
            "of the step and the helpers of specsim.engines.literal.helpers"
        ) from None
