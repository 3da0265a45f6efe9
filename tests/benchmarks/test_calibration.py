"""Right samplers under many seeds: no alarms, and e-values that keep what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks import calibration
from benchmarks.zoo import get_controls
from benchmarks.zoo.model import Control
from specsim.errors import InputError
from specsim.validation.conformance.laboratory import Effort
from specsim.validation.conformance.subjects import Subject

#: A few hundred observations of every experiment.
LIGHTER = Effort(name="lighter", eps=0.5, seconds=600.0, widest=256, least_side=300, wide_samples=300)

#: E-values are cut here before they are averaged: the mean of the cut ones is at most that of all, 1.
CUT = 5.0

#: Probability that the bounds on means, or those on tails, fail although the e-values are right.
ERROR = 1e-6


def relative_entropy(one: float, other: float) -> float:
    """Return the relative entropy of two coins."""
    parts = ((one, other), (1 - one, 1 - other))
    return sum(a * math.log(a / b) for a, b in parts if a > 0)


def assert_calibrated(found: calibration.Calibration) -> None:
    """Hold mean and tails of the e-values of every check against their bounds.

    The e-values of one check are independent: one per session. Cut at `CUT` they lie in [0, `CUT`] and their
    expectation is at most 1, so that their average over n sessions exceeds m with probability at most
    exp(-n kl(m / CUT, 1 / CUT)) (Chernoff and Hoeffding). The number that reach a threshold a is at most
    binomial with probability 1 / a. All bounds together fail with probability below 2 `ERROR`.
    """
    assert found.alarms == ()
    of = np.array([name for name, _ in found.names])
    checks = sorted(set(of))
    for name in checks:
        log_e = found.log_e[of == name]
        mean = float(np.exp(np.minimum(log_e, math.log(CUT))).mean())
        if mean > 1:
            against = len(log_e) * relative_entropy(mean / CUT, 1 / CUT)
            assert against <= math.log(len(checks) / ERROR), f"{name}: mean of the e-values is {mean:.3g}"
        for threshold in calibration.THRESHOLDS:
            count = int((log_e >= math.log(threshold)).sum())
            error = ERROR / (len(checks) * len(calibration.THRESHOLDS))
            likely = float(binom.sf(count - 1, len(log_e), 1 / threshold)) >= error
            assert likely, f"{name}: {count} of {len(log_e)} e-values reach {threshold:g}"
    for threshold, count, share, bound in found.rows():
        assert count == sum(value >= math.log(threshold) for value in found.log_e)
        assert share == pytest.approx(count / len(found.log_e))
        assert bound == 1 / threshold


@pytest.mark.parametrize("seeds", [range(100, 103), pytest.param(range(100, 110), marks=pytest.mark.slow)])
def test_few_seeds__raise_no_alarm_and_keep_the_bounds(seeds):
    """A right sampler is accused with probability at most 1e-6 in each session."""
    checks = ("joint-law", "acceptance", "residual", "bonus", "seed-independence", "draft-lengths")
    names = ("ratio", "match")
    controls = get_controls(names)
    found = calibration.calibrate(controls, seeds, effort=LIGHTER, only=checks)
    assert found.sessions == len(names) * len(seeds)
    assert len(found.log_e) == found.sessions * len(checks)
    assert {control for _, control in found.names} == set(names)
    assert_calibrated(found)
    assert found.svg().count("<svg") == 1


def test_wrong_sampler__is_not_calibrated():
    """The bounds can fail: a sampler with rows that are a little nearer to the draft breaks them."""

    def biased(target, draft, drafted, seed):
        right = get_controls(["ratio"])[0].subject.run
        # Tokens of probability 0 stay such, for a single one of them would be an alarm.
        mixed = target.copy()
        mixed[:, :-1] = np.where(target[:, :-1] > 0, 0.7 * target[:, :-1] + 0.3 * draft, 0)
        mixed /= mixed.sum(axis=-1, keepdims=True)
        return right(mixed, draft, drafted, seed)

    subject = Subject(name="biased", protocol="step", run=biased)
    control = Control(name="biased", description="", source="", subject=subject)
    found = calibration.calibrate(
        [control], range(1, 33), effort=LIGHTER, only=["joint-law", "first-token"], alpha=1e-300
    )
    assert found.alarms == ()
    with pytest.raises(AssertionError, match=r"e-values reach|mean of the e-values"):
        assert_calibrated(found)


def test_alarms__are_listed():
    def draft_always(target, draft, drafted, seed):
        tokens = np.concatenate([drafted, np.zeros_like(drafted[:, :1])], axis=1)
        return tokens, np.full(len(drafted), drafted.shape[1])

    subject = Subject(name="draft", protocol="step", run=draft_always)
    control = Control(name="draft", description="", source="", subject=subject)
    found = calibration.calibrate([control], [5], effort=LIGHTER, only=["first-token"])
    assert [alarm.partition(": ")[0] for alarm in found.alarms] == ["draft, seed 5"]


@pytest.mark.parametrize(("controls", "seeds"), [((), (1,)), (("ratio",), ()), (("ratio",), (1, 1))])
def test_calibrate__refuses_nothing_and_repeated_seeds(controls, seeds):
    chosen = get_controls(list(controls)) if controls else []
    with pytest.raises(InputError, match="must not be empty, and seeds must be distinct"):
        calibration.calibrate(chosen, seeds)


@pytest.mark.slow
def test_many_seeds__raise_no_alarm_and_keep_the_bounds():
    """All checks of nine controls of all protocols under 30 seeds; accused with probability below 3e-4."""
    names = ["ratio", "one-hot", "match", "block", "no-bonus", "ratio-from-logits"]
    controls = [*get_controls(names), *_one_of_each_other_protocol()]
    found = calibration.calibrate(controls, range(1, 31), effort=LIGHTER)
    assert found.sessions == 30 * len(controls)
    assert len({name for name, _ in found.names}) >= 25
    assert_calibrated(found)


def _one_of_each_other_protocol() -> list[Control]:
    from benchmarks.zoo import all_controls

    found = {}
    for control in all_controls():
        if control.subject.framework == "numpy":
            found.setdefault(control.subject.protocol, control)
    return [found[protocol] for protocol in ("draft-and-verify", "decoder", "tree")]
