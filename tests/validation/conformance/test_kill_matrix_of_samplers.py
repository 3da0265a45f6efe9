"""Every wrong sampler is rejected by the checks that are for it; every unusual right one passes."""

from __future__ import annotations

import importlib.util
import os

import pytest

from benchmarks.kill_matrix import judge_control, judge_mutant
from benchmarks.zoo.model import all_controls, all_mutants
from specsim.validation.conformance.checks import all_checks


def _one_for_each_check():
    """Names of mutants, few but enough that every check has to reject one of them."""
    chosen, covered = set(), set()
    # Decoders write many texts: they come last.
    for mutant in sorted(all_mutants(), key=lambda mutant: mutant.subject.protocol == "decoder"):
        if not covered.issuperset(mutant.killed_by):
            chosen.add(mutant.name)
            covered.update(mutant.killed_by)
    return chosen


FAST_MUTANTS = _one_for_each_check()


def _slow_unless(fast, item):
    return pytest.param(item, id=item.name, marks=[] if fast else [pytest.mark.slow])


@pytest.mark.parametrize(
    "mutant", [_slow_unless(mutant.name in FAST_MUTANTS, mutant) for mutant in all_mutants()]
)
def test_mutant__is_rejected_by_the_checks_that_are_for_it(mutant):
    outcome = judge_mutant(mutant, effort="quick")
    assert outcome.killed, f"{mutant.name} survives {outcome.missed or 'everything'}: " + ", ".join(
        f"{check.name} {check.status.value} {check.log10_e:.1f}" for check in outcome.checks
    )


#: The fast tests have a right tree, and a step that is lossy as declared.
FAST_CONTROLS = {
    "coins-follow-batch",
    "tree-lowered-thresholds",
}


@pytest.mark.parametrize(
    "control", [_slow_unless(control.name in FAST_CONTROLS, control) for control in all_controls()]
)
def test_control__passes_every_check(control):
    wanted = os.environ.get("SPECSIM_REQUIRE_ALL") == "1"
    if control.subject.framework == "torch" and importlib.util.find_spec("torch") is None and not wanted:
        pytest.skip("torch is not installed")
    outcome = judge_control(control, effort="quick")
    failed = [f"{check.name}: {check.reason}" for check in outcome.checks if check.status.value == "failed"]
    assert outcome.lives, f"{control.name} is found {outcome.verdict.value}: {failed}"


def test_fast_controls__exist():
    assert {control.name for control in all_controls()} >= FAST_CONTROLS


def test_every_mutant__names_the_checks_that_must_reject_it():
    names = {check.name for check in all_checks()}
    for mutant in all_mutants():
        assert mutant.killed_by, mutant.name
        assert set(mutant.killed_by) <= names, mutant.name


def test_every_check__has_a_mutant_that_it_rejects():
    for_mutants = {name for mutant in all_mutants() for name in mutant.killed_by}
    without = {check.name for check in all_checks()} - for_mutants
    assert without == set(), f"no mutant is for {sorted(without)}; a check that never failed proves nothing"
