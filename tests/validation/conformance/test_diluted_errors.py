"""Errors of few rows or few tokens, which many right ones would hide, at effort quick."""

import pytest

from benchmarks.zoo.model import get_mutants
from specsim.validation.conformance.results import CheckStatus
from specsim.validation.conformance.running import Session


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("first-row-has-the-last-draft", "batch-rows"),
        ("single-row-from-target", "single-rows"),
        ("greedy-bonus-when-cold", "option-values"),
        ("last-block-of-whole-ones", "wide-vocabulary"),
        ("untested-after-one-token", "zero-mass"),
        ("nearly-certain-is-greedy", "peaked-rows"),
        ("bonus-row-of-float32", "types"),
    ],
)
def test_error_of_few__is_found_without_a_rule(name, check):
    subject = get_mutants([name])[0].subject.replace(rule=None)
    session = Session(subject, effort="quick", only=[check])
    result = session.run(session.checks[0])
    assert result.status is CheckStatus.FAILED
    assert result.kind == "output"


def test_random_numbers_of_small_calls__are_compared_apart_from_those_of_large_ones():
    subject = get_mutants(["tests-of-small-calls"])[0].subject.replace(rule=None)
    session = Session(subject, effort="quick", only=["batch-independence"])
    result = session.run(session.checks[0])
    assert result.status is CheckStatus.FAILED
    assert "in calls of" in result.looks_like[0]
