"""Exact checks in a process of their own: same answers, and nothing is lost when it dies."""

import pytest

from specsim.validation.claims_model import Comparison, ExactCheck, equal
from specsim.validation.registry import select_claims
from specsim.validation.running import exact_process
from specsim.validation.running.effort import QUICK
from specsim.validation.running.exact_process import ExactProcess
from specsim.validation.running.outcomes import Status
from specsim.validation.running.runner import validate
from specsim.validation.witnesses import as_built

CLAIM = "yin2024.theorem-3-base-case"


def exact_part(claim):
    import dataclasses

    return dataclasses.replace(
        claim, checks=tuple(check for check in claim.checks if isinstance(check, ExactCheck))
    )


@pytest.fixture
def registered(monkeypatch):
    """A registered claim with its exact checks only, known to this process as registered."""
    (claim,) = select_claims([CLAIM])
    cut = exact_part(claim)
    monkeypatch.setattr("specsim.validation.running.runner.all_claims", lambda: (cut,))
    return cut


def test_process__gives_what_this_process_would(registered):
    names = [(registered.id, check.name) for check in registered.checks]
    process = ExactProcess(QUICK, names)
    try:
        answers = list(process.answers())
    finally:
        process.end()
    here = [item for check in registered.checks for item in check.run(as_built(), QUICK)]
    assert [answer for answer in answers if isinstance(answer, Comparison)] == here
    assert [answer for answer in answers if not isinstance(answer, Comparison)] == [""] * len(names)


def test_validate__uses_it_for_registered_claims(registered, monkeypatch):
    started = []
    original = exact_process.ExactProcess.__init__

    def record(self, effort, checks):
        started.append(checks)
        original(self, effort, checks)

    monkeypatch.setattr(exact_process.ExactProcess, "__init__", record)
    two = validate([registered], effort="quick", threads=2, second_process=True)
    assert len(started) == 1
    one = validate([registered], effort="quick", threads=1)
    assert len(started) == 1
    assert one.claims == two.claims
    assert one.status is Status.AGREES


def test_validate__goes_on_by_itself_when_the_process_dies(registered, monkeypatch):
    original = exact_process.ExactProcess.answers

    def dying(self):
        answers = original(self)
        yield next(answers)
        self.end()
        yield from answers

    monkeypatch.setattr(exact_process.ExactProcess, "answers", dying)
    report = validate([registered], effort="quick", threads=2, second_process=True)
    assert any("ended early" in note for note in report.notes)
    monkeypatch.undo()
    assert report.claims[0].checks == validate([registered], effort="quick", threads=1).claims[0].checks


def test_run_check__ends_with_the_error():
    def crash(witnesses, effort):
        yield equal("fine", 1, 1)
        raise RuntimeError("half way")

    *comparisons, error = exact_process.run_check(ExactCheck("crash", crash), as_built(), QUICK)
    assert len(comparisons) == 1
    assert error.startswith("RuntimeError: half way")


def test_process__can_be_ended_at_any_time(registered):
    process = ExactProcess(QUICK, [(registered.id, registered.checks[0].name)])
    process.end()
    with pytest.raises(EOFError):
        list(process.answers())
    process.end()
    process.end()
