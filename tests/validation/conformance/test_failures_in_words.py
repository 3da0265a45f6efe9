"""What is said of failures where several things went wrong."""

import numpy as np

from benchmarks.zoo.controls_step import ratio_step
from specsim.testing import Subject, check_sampler
from specsim.validation.conformance.baseline import compared, comparison_lines
from specsim.validation.conformance.documents import report_document
from specsim.validation.conformance.isolation import _Collector
from specsim.validation.conformance.report_text import report_lines
from specsim.validation.conformance.requests import Request


def unseeded(target, draft, drafted, seed, draft_lengths=None):
    if draft_lengths is not None:
        raise IndexError("no such row")
    return ratio_step(target, draft, drafted, 5)


def step(run):
    return Subject(name="mine", protocol="step", run=run, options=frozenset({"draft_lengths"}))


def report_of(*checks):
    return check_sampler(step(unseeded), effort="quick", only=checks)


def test_what_breaks__is_said_with_its_reason_beside_shared_random_numbers():
    text = "\n".join(report_lines(report_of("seed-independence", "ragged")))
    assert "not independent" in text
    assert "IndexError: no such row" in text
    assert "as a consequence: ragged" not in text


def test_a_seed_that_changes_nothing__is_said_to():
    report = report_of("determinism", "seed-independence")
    assert report.diagnosis.cause == "the seed changes nothing"


def test_a_lossy_rule_without_chance__may_ignore_the_seed():
    from specsim.validation.conformance.rules import get_rule

    def greedy(target, draft, drafted, seed):
        best = np.asarray(target).argmax(axis=-1)
        count = np.cumprod(best[:, :-1] == drafted, axis=1).sum(axis=1)
        return best, count + 1

    subject = Subject(name="mine", protocol="step", run=greedy, rule=get_rule("silently-greedy"))
    report = check_sampler(subject, effort="quick", only=["determinism"])
    assert not report.failed


def test_a_process_that_ends_while_a_smaller_failure_is_looked_for__leaves_the_report():
    report = report_of("seed-independence")
    collector = _Collector(Request(target="mine.py:step"), lambda name, result: None)
    collector.take({"subject": {"name": "mine", "protocol": "step", "notes": "", "rule": None}, "number": 0,
                    "checks": ["seed-independence"]})  # fmt: skip
    collector.take({"diagnosed": report_document(report)})
    collector.broken("it gave no answer for 60 s")
    (found,) = collector.reports
    assert found.diagnosis == report.diagnosis
    assert [check.name for check in found.failed] == ["seed-independence"]


def test_comparison__says_what_is_new_and_what_was_left_out():
    report = report_of("seed-independence")
    assert comparison_lines([compared(report, {})]) == [
        "mine: it is not in the baseline, and judged without it"
    ]
    before = {"mine": {"checks": [{"name": "determinism", "status": "passed"},
                                  {"name": "seed-independence", "status": "failed"}]}}  # fmt: skip
    found = compared(report, before)
    assert found.exit_code == 3
    assert found.sentence.startswith("not known to be as good as the baseline")
