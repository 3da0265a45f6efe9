"""``progress=True``: a line on standard error, in terminals and notebooks alike."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from specsim.errors import InputError

#: What the functions take: a function of the number of finished runs, True for a line, or nothing.
Progress = Callable[[int], object] | bool | None

#: Seconds between two lines.
_PAUSE = 0.2


@contextmanager
def reporting(progress: Progress, total: int) -> Iterator[Callable[[int], object] | None]:
    """Give what is to be called with the number of finished runs, or None.

    progress: what the caller of the library gave.
    total: how many runs there are.
    InputError: it is something else.
    """
    if progress is None or progress is False:
        yield None
    elif progress is True:
        line = _Line(total)
        try:
            yield line
        finally:
            line.end()
    elif callable(progress):
        yield progress
    else:
        raise InputError(f"progress is {progress!r}; give True, or a function of the number of finished runs")


class _Line:
    """One line that is written again and again."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._start = time.monotonic()
        self._last = -_PAUSE
        self._width = 0

    def __call__(self, done: int) -> None:
        now = time.monotonic() - self._start
        if now < self._last + _PAUSE and done < self._total:
            return
        self._last = now
        left = now * (self._total - done) / done if done else 0.0
        text = f"{done:,} of {self._total:,} runs, {done / self._total:.0%}, {left:.0f} s left"
        self._write("\r" + text.ljust(self._width))
        self._width = len(text)

    def end(self) -> None:
        """End the line, if there is one."""
        if self._width:
            self._write("\n")

    @staticmethod
    def _write(text: str) -> None:
        # A closed standard error is no reason to stop.
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(text)
            sys.stderr.flush()
