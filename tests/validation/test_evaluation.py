"""Single assertions: what too few runs may and may not say."""

import dataclasses

import numpy as np
import pytest

from specsim import Speculative
from specsim.validation.builders import mean_check
from specsim.validation.running.effort import QUICK
from specsim.validation.running.outcomes import Status
from specsim.validation.running.runner import validate


def excluding(coins, gap):
    excluded = float(coins.STEPS.sum()) + gap
    case = [(coins.pair(), Speculative())]
    return coins.claim("a.a", mean_check("m", case, discrepancy=0.5, excluded=lambda *ignored: excluded))


@pytest.mark.parametrize("most", [1, 20, 200, 2000])
def test_evaluate__a_published_value_not_yet_excluded_is_no_contradiction(coins, most):
    # The gap needs some 10^5 runs. With fewer, correct code must not be called wrong.
    effort = dataclasses.replace(QUICK, max_runs=most)
    for seed in range(10):
        report = validate([excluding(coins, 0.02)], effort=effort, seed=seed, witnesses=coins.witnesses())
        assert report.exit_code == 3
        (item,) = report.claims[0].assertions
        assert item.status is Status.UNDECIDED


def test_evaluate__a_contradiction_is_one_however_few_the_runs(coins):
    effort = dataclasses.replace(QUICK, max_runs=2000)
    wrong = coins.witnesses(believed=coins.STEPS + np.array([0.3, 0, 0, 0]))
    report = validate([excluding(coins, 0.31)], effort=effort, witnesses=wrong)
    assert report.exit_code == 1


def test_evaluate__enough_runs_exclude(coins):
    report = validate([excluding(coins, 0.02)], effort=QUICK, witnesses=coins.witnesses())
    assert report.exit_code == 0
    (item,) = report.claims[0].assertions
    assert item.runs > 10_000
    assert "missed by" in item.detail
