"""Exact checks in a second process: they are pure Python and would hold up planning and compilation."""

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from specsim.validation.claims_model import Comparison, ExactCheck
from specsim.validation.registry import all_claims
from specsim.validation.running.effort import Effort
from specsim.validation.running.planning import describe_error
from specsim.validation.witnesses import Witnesses, as_built

#: A comparison, or the end of a check: its error, empty if there was none.
Answer = Comparison | str


def run_check(check: ExactCheck, witnesses: Witnesses, effort: Effort) -> Iterator[Answer]:
    """Yield the comparisons of a check, and how it ended."""
    try:
        yield from check.run(witnesses, effort)
    except Exception as error:
        yield describe_error(error)
    else:
        yield ""


class ExactProcess:
    """A process that runs exact checks of registered claims with the project's own witnesses.

    effort: how much to compare.
    checks: (claim id, check name), in order.
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
        """Yield what `run_check` yields, check by check.

        EOFError: the process ended early.
        """
        while self._remaining:
            answer: Answer = self._answers.recv()
            self._remaining -= isinstance(answer, str)
            yield answer

    def end(self) -> None:
        """End the process at once. May be called from any thread, more than once."""
        self._process.kill()


def _work(answers: Connection, effort: Effort, checks: list[tuple[str, str]]) -> None:
    witnesses = as_built()
    known = {(claim.id, check.name): check for claim in all_claims() for check in claim.checks}
    for name in checks:
        check = known[name]
        assert isinstance(check, ExactCheck)
        for answer in run_check(check, witnesses, effort):
            answers.send(answer)


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
