"""Verdicts, budgets, expected failures and bad parameters."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from specsim.errors import InputError
from specsim.validation.conformance.checks.base import Statistical
from specsim.validation.conformance.results import CheckStatus, Verdict
from specsim.validation.conformance.running import ConformanceError, Session, check_sampler
from specsim.validation.conformance.subjects import Subject, as_subject

MAIN = ("contract", "first-token", "joint-law", "acceptance", "residual", "accepted-length", "bonus")


def names(report, status):
    return {check.name for check in report.with_status(status)}


def test_right_sampler__is_lossless_to_within_the_distance_asked_for(samplers):
    report = check_sampler(samplers.ratio, rule="ratio", effort=samplers.light)
    assert report.verdict is Verdict.LOSSLESS
    assert report.exit_code == 0
    assert not report.partial
    assert 0 < report.certified <= report.eps == 0.15
    assert "lossless to within TV" in report.sentence
    assert not names(report, CheckStatus.UNDECIDED)


def test_wrong_sampler__is_biased_and_its_bug_is_named(samplers):
    report = check_sampler(samplers.from_target, rule="ratio", effort=samplers.light, only=MAIN)
    assert report.verdict is Verdict.BIASED
    assert report.exit_code == 1
    assert {"joint-law", "residual"} <= names(report, CheckStatus.FAILED)
    assert "acceptance" in names(report, CheckStatus.PASSED)
    assert report.suspects[0].name == "recovery-from-target"
    assert report.suspects[0].fits
    failed = next(check for check in report.checks if check.name == "joint-law")
    assert failed.log10_e >= failed.log10_threshold
    assert failed.deviations
    assert all(item.low <= item.frequency <= item.high for item in failed.deviations)


def test_wrong_sampler__is_found_by_its_output_alone(samplers):
    report = check_sampler(samplers.from_target, effort=samplers.light, only=("joint-law", "acceptance"))
    assert report.verdict is Verdict.BIASED
    assert names(report, CheckStatus.SKIPPED) == {"acceptance"}


def test_verdict_of_a_few_checks__says_which(samplers):
    report = check_sampler(samplers.ratio, effort=samplers.light, only=("contract", "first-token"))
    assert report.partial
    assert report.sentence.endswith("; only contract, first-token were run")


def test_other_lossless_rule__is_told_from_a_bias(samplers):
    report = check_sampler(samplers.one_hot, rule="ratio", effort=samplers.light, only=MAIN)
    assert report.verdict is Verdict.OTHER_RULE
    assert report.exit_code == 1
    assert report.suspects[0].name in ("one-hot", "match")
    assert report.suspects[0].lossless
    assert "nothing found against its output" in report.sentence


@pytest.mark.slow
def test_lossy_rule__agrees_with_its_declared_law_and_with_no_other(samplers):
    lossy = "recovery-from-target"
    right = check_sampler(samplers.from_target, rule=lossy, effort=samplers.light, only=MAIN)
    assert right.verdict is Verdict.LOSSY_AS_DECLARED
    assert right.exit_code == 0
    wrong = check_sampler(samplers.ratio, rule=lossy, effort=samplers.light, only=MAIN)
    assert wrong.verdict is Verdict.BIASED


def test_report__is_the_same_for_the_same_seed(samplers):
    def run(seed):
        report = check_sampler(samplers.ratio, rule="ratio", effort=samplers.light, only=MAIN, seed=seed)
        return [(c.name, c.samples, c.log10_e, c.certified) for c in report.checks]

    assert repr(run(5)) == repr(run(5))
    assert repr(run(5)) != repr(run(6))


def test_budget__over_means_undecided(samplers):
    def slow(target, draft, drafted, seed):
        return samplers.ratio(target, draft, drafted, seed)

    subject = Subject(name="slow", protocol="step", run=slow, max_batch=1)
    report = check_sampler(subject, effort="deep", only=["joint-law"], budget=0.3)
    assert report.verdict is Verdict.UNDECIDED
    assert report.exit_code == 3
    check = report.checks[0]
    assert check.status is CheckStatus.UNDECIDED
    assert 0 < check.samples < check.planned
    assert "time budget ended" in check.reason
    assert check.certified < 1.0


def test_expected_failures__both_ways(samplers):
    known = {"joint-law": "the residual is the target on purpose"}
    report = check_sampler(
        samplers.from_target, effort=samplers.light, only=["joint-law"], expected_failures=known
    )
    assert report.checks[0].status is CheckStatus.EXPECTED_FAILURE
    assert report.exit_code == 3, "nothing judged its output"
    report = check_sampler(samplers.ratio, effort=samplers.light, only=["joint-law"], expected_failures=known)
    assert report.checks[0].status is CheckStatus.UNEXPECTED_PASS
    assert "remove it from expected_failures" in report.checks[0].reason
    assert report.exit_code == 1


def test_exception_of_the_subject__is_an_error_with_its_message():
    def broken(target, draft, drafted, seed):
        raise KeyError("no such row")

    report = check_sampler(broken, effort="quick", only=["joint-law"])
    assert report.verdict is Verdict.BROKEN
    assert report.checks[0].status is CheckStatus.BROKEN
    assert "KeyError" in report.checks[0].reason
    assert "broken" in report.checks[0].reason


def test_interruption__keeps_what_was_finished(samplers):
    calls = 0

    def interrupted(target, draft, drafted, seed):
        nonlocal calls
        calls += 1
        if calls > 40:
            raise KeyboardInterrupt
        return samplers.ratio(target, draft, drafted, seed)

    seen = []
    report = check_sampler(interrupted, effort="standard", callback=seen.append)
    assert report.interrupted
    assert report.verdict is Verdict.UNDECIDED
    assert [check.name for check in seen] == ["contract"]


def test_callback_and_stop__see_every_result(samplers):
    seen = []
    report = check_sampler(
        samplers.from_target, effort=samplers.light, callback=seen.append, stop_at_failure=True
    )
    assert seen[-1].status is CheckStatus.FAILED
    assert [c for c in report.checks if c.status is not CheckStatus.SKIPPED] == seen


def test_raise_on_failure__carries_the_report(samplers):
    with pytest.raises(ConformanceError, match=r"biased: .*joint-law") as caught:
        check_sampler(samplers.from_target, effort=samplers.light, only=["joint-law"], raise_on_failure=True)
    assert caught.value.report.verdict is Verdict.BIASED


def test_plan__samples_nothing_and_states_power(samplers):
    def never(target, draft, drafted, seed):
        raise AssertionError("called")

    session = Session(as_subject(never, rule="ratio"), effort=samplers.light)
    rows = {check.name: (planned, power) for check, planned, power in session.plan()}
    assert rows["joint-law"][0] > 1000
    assert 0 < rows["joint-law"][1] < 0.5
    assert np.isnan(rows["contract"][1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 0.0}, "alpha is 0.0; give a number strictly between 0 and 1"),
        ({"eps": 2.0}, "eps is 2.0"),
        ({"delta": -1.0}, "delta is -1.0"),
        ({"seed": -1}, "seed is -1"),
        ({"budget": 0}, "budget is 0"),
        ({"effort": "hard"}, "effort is 'hard'; give quick, standard, deep"),
        ({"only": ["joint-lav"]}, "check 'joint-lav' is unknown; did you mean joint-law"),
        ({"only": ["tree-law"]}, "no check applies"),
        ({"rule": "ration"}, "rule 'ration' is unknown; did you mean"),
        ({"rule": "recursive"}, "rule recursive is a rule of trees; for chains give one of block"),
        ({"protocol": "steps"}, "protocol is 'steps'; give one of step"),
        ({"expected_failures": {"nothing": "x"}}, "check 'nothing' is unknown"),
        ({"dtypes": ("bfloat16",)}, "which NumPy lacks"),
        ({"dtypes": ("int8",)}, "dtypes has 'int8'"),
        ({"max_batch": 0}, "max_batch is 0"),
        ({"options": {"beam"}}, "options has 'beam'"),
    ],
)
def test_bad_parameters__are_named(samplers, settings, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        check_sampler(samplers.ratio, **settings)


def test_protocol__cannot_be_told_from_other_parameters():
    with pytest.raises(InputError, match=r"protocol of f\(a, b\) cannot be derived"):
        check_sampler(lambda a, b: None, name="f")
    with pytest.raises(InputError, match="give a callable"):
        check_sampler(3)


def test_subject__is_carried_by_its_callable(samplers):
    def sampler(target, draft, drafted, seed):
        return samplers.ratio(target, draft, drafted, seed)

    sampler.subject = Subject(name="carried", protocol="step", run=sampler, max_batch=7)
    made = as_subject(sampler, rule="ratio")
    assert (made.name, made.max_batch, made.rule.name) == ("carried", 7, "ratio")
    assert dataclasses.replace(made).name == "carried"


def test_seeds__are_never_given_twice(samplers):
    given = []

    def recording(target, draft, drafted, seed):
        given.append(seed)
        return samplers.ratio(target, draft, drafted, seed)

    check_sampler(recording, effort=samplers.light, only=["joint-law", "sizes"])
    assert len(set(given)) == len(given) > 100
    assert 0 <= min(given) <= max(given) < 2**31


class Steady:
    """An experiment whose observations are counted."""

    total = 0

    def sample(self, count):
        self.total += count


@dataclasses.dataclass(kw_only=True, eq=False)
class Suspicious(Statistical):
    """A procedure of which the evidence is given."""

    evidence: float

    def log_e(self):
        return self.evidence

    def output_log_e(self):
        return self.evidence

    def catches(self, log_threshold):
        return math.nan


@pytest.mark.parametrize(("evidence", "observations"), [(math.log(999), 300), (math.log(1001), 2400)])
def test_much_evidence_at_the_end_of_the_plan__asks_for_more(samplers, evidence, observations):
    session = Session(as_subject(samplers.ratio), effort="quick", only=["joint-law"])
    procedure = Suspicious(probe=Steady(), looks=(), planned=300, evidence=evidence)
    result = session._sample(session.checks[0], procedure, math.inf)
    assert result.status is CheckStatus.PASSED
    assert result.samples == observations
