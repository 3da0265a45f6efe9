"""State of the whole process that samplers change, and that our own computations must not see."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

#: NumPy's error settings in which checks compute: its defaults.
OURS: Mapping[str, Any] = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}


def numpy_errors() -> dict[str, Any]:
    """Return NumPy's error settings, as `numpy.errstate` takes them."""
    return {**np.geterr(), "call": np.geterrcall()}


@contextmanager
def imported() -> Iterator[dict[str, Any]]:
    """Import a sampler, and undo what its modules change for the whole process.

    NumPy's error settings, the filters of warnings, and a lower limit of recursion. A higher limit stays:
    the sampler may need it.

    Yields: a dictionary that holds the import's own settings of NumPy's errors at the end, if it made any.
    """
    found: dict[str, Any] = {}
    before, limit = numpy_errors(), sys.getrecursionlimit()
    try:
        with warnings.catch_warnings(), np.errstate():
            try:
                yield found
            finally:
                if sys.getrecursionlimit() < limit:
                    sys.setrecursionlimit(limit)
                after = numpy_errors()
                if after != before:
                    found.update(after)
    finally:
        np.seterrcall(before["call"])


def described(error: BaseException) -> str:
    """Return an exception's type and text in one line; what its ``__str__`` raises is kept away."""
    try:
        text = " ".join(str(error).split())
    except BaseException as other:
        text = f"(its text raises {type(other).__name__})"
    # Half of a surrogate pair cannot be written to a file.
    text = text.encode("utf-8", "backslashreplace").decode()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
