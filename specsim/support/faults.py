"""Faults of specsim that happened in another process."""

from __future__ import annotations


class FaultElsewhere(Exception):
    """A fault of specsim in a process that it started; the message says what and where.

    trace: the traceback there.
    """

    def __init__(self, message: str, trace: str) -> None:
        super().__init__(message)
        self.add_note(trace)
