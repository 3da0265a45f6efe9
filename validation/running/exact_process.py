"""Exact checks in a second process: they are pure Python and would hold up planning and compilation."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from specsim.validation.claims_model import Comparison, ExactCheck
from specsim.validation.registry import all_claims
from specsim.validation.running.effort import Effort
from specsim.validation.running.planning import describe_error
from specsim.validation.witnesses import as_built

#: A comparison, or the end of a check: (claim, check, error).
Answer = Comparison | tuple[str, str, str]


class ExactProcess:
    """A process that runs exact checks of registered claims with the project's own witnesses.

    Parameters
    ----------
    effort
        How much to compare.
    checks
        (claim id, check name), in order.
    """

    def __init__(self, effort: Effort, checks: list[tuple[str, str]]) -> None:
        context = multiprocessing.get_context("spawn")
        self._remaining = len(checks)
        self._answers, answers = context.Pipe(duplex=False)
        self._process = context.Process(target=_work, args=(answers, effort, checks), daemon=True)
        with _no_interrupts():
            self._process.start()
        answers.close()

    def answers(self) -> Iterator[Answer]:
        """Yield comparisons, and the end of each check.

        Raises
        ------
        EOFError
            The process ended early.
        """
        while self._remaining:
            answer: Answer = self._answers.recv()
            self._remaining -= not isinstance(answer, Comparison)
            yield answer

    def end(self) -> None:
        """End the process at once. May be called from any thread, more than once."""
        self._process.kill()


def _work(answers: Connection, effort: Effort, checks: list[tuple[str, str]]) -> None:
    witnesses = as_built()
    known = {
        (claim.id, check.name): check
        for claim in all_claims()
        for check in claim.checks
        if isinstance(check, ExactCheck)
    }
    for claim, name in checks:
        error = ""
        try:
            for comparison in known[claim, name].run(witnesses, effort):
                answers.send(comparison)
        except Exception as problem:
            error = describe_error(problem)
        answers.send((claim, name, error))


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Start a process that Ctrl-C, which reaches the whole group, does not end: its parent does."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
