"""Standard streams that were closed by whoever started the process, or that must stay clean."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress


class ClosedOutput(io.TextIOBase):
    """Stands for a closed standard output: takes everything, and knows whether anything was lost."""

    def __init__(self) -> None:
        self.lost = False

    def writable(self) -> bool:
        """Return True: what is written is lost, but nothing fails."""
        return True

    def write(self, text: str) -> int:
        """Drop `text`."""
        self.lost = self.lost or bool(text)
        return len(text)


def replace_closed() -> None:
    """Give the process the standard streams that it lacks.

    Without this, the next file that is opened would become standard output, and whatever prints would write
    into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = ClosedOutput()
    if sys.stderr is None:
        sys.stderr = ClosedOutput()


@contextmanager
def output_to_errors() -> Iterator[None]:
    """Send standard output to standard error: what Python prints, and what libraries write below Python."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        with suppress(OSError):  # somebody closed every file
            os.dup2(kept, 1)
            os.close(kept)
