"""Plans: everything is known, and the budget split, before anything is sampled."""

import dataclasses

import pytest

from specsim import Batch, RejectionBased, Speculative
from specsim.support.hashes import derived_seed
from specsim.validation.assertions import MeanTest, SimulationRequest
from specsim.validation.builders import agreement_check, law_check, mean_check
from specsim.validation.claims_model import StatisticalCheck
from specsim.validation.running.effort import QUICK, STANDARD
from specsim.validation.running.planning import make_plan


def test_plan__splits_the_budget_before_anything_is_simulated(coins):
    log = []
    claims = (coins.claim("a.a"), coins.claim("a.b", *coins.three(coins.pair(1))))
    plan = make_plan(claims, coins.witnesses(log=log), STANDARD, 1e-6, 1)
    assert log == []
    assert plan.count == 6
    assert plan.alpha_each * plan.count == pytest.approx(1e-6)


def test_plan__equal_requests_are_simulated_once_with_the_most_runs_needed(coins):
    claims = (coins.claim("a.a"), coins.claim("a.b"))
    plan = make_plan(claims, coins.witnesses(), STANDARD, 1e-6, 1)
    (simulation,) = plan.simulations.values()
    assert len(simulation.assertions) == 6
    assert simulation.runs == max(max(needs) for needs in plan.required.values())


def test_plan__runs_follow_from_the_discrepancy(coins):
    def runs(discrepancy, effort=STANDARD):
        check = mean_check("m", [(coins.pair(), Speculative())], discrepancy=discrepancy)
        plan = make_plan((coins.claim("a.a", check),), coins.witnesses(), effort, 1e-6, 1)
        return next(iter(plan.simulations.values())).runs

    assert runs(0.01) > 50 * runs(0.1)
    assert runs(0.1, QUICK) == runs(0.1 * QUICK.discrepancy_factor)


def test_plan__says_how_far_it_is(coins):
    steps = []
    claims = (coins.claim("a.a"), coins.claim("a.b"))
    make_plan(claims, coins.witnesses(), STANDARD, 1e-6, 1, lambda done, total: steps.append((done, total)))
    assert steps == [(done, 12) for done in range(12)]


def test_plan__every_assertion_catches_what_it_must(coins):
    plan = make_plan((coins.claim(),), coins.witnesses(), STANDARD, 1e-6, 1)
    for place, assertions in plan.assertions.items():
        for assertion, runs in zip(assertions, plan.required[place], strict=True):
            assert assertion.test.detectable(runs, plan.alpha_each) <= assertion.discrepancy


def test_plan__limit_on_runs(coins):
    small = dataclasses.replace(STANDARD, max_runs=1000)
    plan = make_plan((coins.claim(),), coins.witnesses(), small, 1e-6, 1)
    assert next(iter(plan.simulations.values())).runs == 1000
    assert max(max(needs) for needs in plan.required.values()) > 1000


def test_plan__a_check_that_cannot_be_planned_stops_no_other(coins):
    def broken(witnesses, effort):
        raise ZeroDivisionError("of a claim")

    claim = coins.claim(
        "a.a", StatisticalCheck("broken", broken), StatisticalCheck("empty", lambda w, e: ()), *coins.three()
    )
    plan = make_plan((claim,), coins.witnesses(), STANDARD, 1e-6, 1)
    assert plan.count == 3
    assert "ZeroDivisionError: of a claim" in plan.errors[0, 0]
    assert "could never fail" in plan.errors[0, 1]


def test_plan__theory_that_is_no_law_is_planned_to_fail(coins):
    witnesses = coins.witnesses()
    witnesses = witnesses.replace_theory(rejection_law=lambda pair, algorithm: coins.law(coins.STEPS) * 1.01)
    plan = make_plan(
        (coins.claim("a.a", law_check("law", [(coins.pair(), Speculative())])),), witnesses, STANDARD, 1e-6, 1
    )
    assert "not to 1" in plan.assertions[0, 0][0].test.reason


def test_plan__theory_is_asked_once_for_each_number(coins):
    asked = []
    witnesses = coins.witnesses()
    theory = witnesses.theory

    def law(pair, algorithm):
        asked.append(pair)
        return theory.rejection_law(pair, algorithm)

    statistics = ("expected_rejections", "rejection_law", "rejections_by_step")
    check = agreement_check("all", [(coins.pair(), Speculative())], statistics=statistics)
    make_plan((coins.claim("a.a", check),), witnesses.replace_theory(rejection_law=law), STANDARD, 1e-6, 1)
    assert len(asked) == 1


def test_mean_test__both_the_mean_and_the_exclusion_decide():
    test = MeanTest(mean=1.0, variance=1.0, low=0.0, high=4.0, excluded=1.2)
    runs = test.min_runs(1.0, 1e-6)
    assert test.decide(runs, runs, 1e-6).agrees
    assert not test.decide(int(1.2 * runs), runs, 1e-6).agrees
    # With few runs the mean is right, but nothing is excluded.
    few = test.decide(100, 100, 1e-6)
    assert not few.agrees
    assert few.p_value == 1
    assert "NOT excluded" in few.detail


def test_identity__of_requests(coins):
    pair = coins.pair()
    base = SimulationRequest(pair=pair, algorithm=Speculative())
    same = SimulationRequest(pair=pair.with_horizon(4), algorithm=Speculative(), outcomes=True)
    assert base.identity == same.identity
    others = [
        SimulationRequest(pair=coins.pair(1), algorithm=Speculative()),
        SimulationRequest(pair=pair, algorithm=Speculative(draft_length=2)),
        SimulationRequest(pair=pair, algorithm=Batch(drafts=2)),
        SimulationRequest(pair=pair, algorithm=Speculative(), horizon=3),
        SimulationRequest(pair=pair, algorithm=Speculative(), engine="alias"),
    ]
    assert len({base.identity, *(request.identity for request in others)}) == 6


def test_identity__of_algorithms_covers_their_tables():
    tables = [[0.5, 0.25], [0.75, 1.0]]
    residual = [[0.5, 0.5], [0.5, 0.5]]
    one = RejectionBased(acceptance=tables, residual=residual)
    again = RejectionBased(acceptance=tables, residual=residual)
    other = RejectionBased(acceptance=[[0.5, 0.25], [0.75, 0.875]], residual=residual)
    assert one.identity == again.identity != other.identity


def test_seeds__differ_by_run_and_request_and_never_change():
    assert derived_seed(1, "x") != derived_seed(2, "x") != derived_seed(2, "y")
    assert derived_seed(2411, "x") == 188464175602579525


def test_make_plan__can_be_stopped(coins):
    class Stopped(Exception):
        pass

    calls = []

    def step(done, total):
        calls.append(1)
        if len(calls) == 2:
            raise Stopped

    with pytest.raises(Stopped):
        make_plan((coins.claim("a.a"), coins.claim("a.b")), coins.witnesses(), STANDARD, 1e-6, 1, step)
