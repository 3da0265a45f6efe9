"""Rows and seeds that share random numbers are found; rows that are treated in different ways are right."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.zoo import get_controls, get_mutants
from benchmarks.zoo.controls_step import ratio_step
from specsim.testing import Subject, check_sampler
from specsim.validation.conformance.calling import Caller
from specsim.validation.conformance.probes import SEEDS, PairProbe
from specsim.validation.conformance.results import CheckStatus, Verdict

BOTH = ["seed-independence", "batch-independence"]


def step(run, **fields):
    return Subject(name="mine", protocol="step", run=run, **fields)


@pytest.mark.parametrize("name", ["rule-by-row", "budget-of-drafts", "shortest-row"])
def test_rows_with_laws_of_their_own__are_right(name, samplers):
    """The chance of a false alarm is 1e-6 for each sampler."""
    report = check_sampler(get_controls([name])[0].subject, effort=samplers.light, only=BOTH)
    assert report.verdict is Verdict.LOSSLESS, report.sentence
    assert all(np.isnan(check.catches) for check in report.checks)


@pytest.mark.parametrize("name", ["seeds-by-rank", "one-stream-per-seed", "seed-and-position"])
def test_request_seeds__that_are_not_a_row_s_own_are_found(name, samplers):
    mutant = get_mutants([name])[0]
    report = check_sampler(mutant.subject, effort=samplers.light, only=list(mutant.killed_by))
    assert report.checks[0].status in (CheckStatus.FAILED, CheckStatus.BROKEN)


def test_request_seeds__with_temperatures_and_equal_seeds_are_right(samplers):
    subject = get_controls(["asked-step"])[0].subject
    report = check_sampler(subject, effort=samplers.light, only=["request-seeds", "request-independence"])
    assert not report.with_status(CheckStatus.FAILED, CheckStatus.BROKEN), report.sentence


def test_position_added_to_the_seed_of_a_call__is_found():
    def run(target, draft, drafted, seed):
        length = drafted.shape[1]
        columns = [np.random.default_rng(seed + n).random((len(drafted), 1)) for n in range(length)]
        last = np.random.default_rng([seed, 1]).random((len(drafted), 1))
        return ratio_step(target, draft, drafted, seed, coins=np.concatenate([*columns, last], axis=1))

    report = check_sampler(step(run), effort="quick", only=["seed-independence"])
    assert report.verdict is Verdict.DEPENDENT
    assert report.checks[0].looks_like[0].startswith("seeds 1 apart, token 2 with token 1: ")


def test_first_row_that_ignores_its_seed__is_told():
    subject = get_mutants(["first-row-unseeded"])[0].subject
    report = check_sampler(subject, effort="quick", only=["seed-independence"])
    assert report.verdict is Verdict.DEPENDENT
    assert report.checks[0].looks_like[0].startswith("calls under seeds far apart: the first token of row 0 ")
    assert report.checks[0].deviations[0].where.startswith("calls under seeds far apart: row 0 begins with ")
    assert "some rows of a call have another law" in report.diagnosis.cause


@pytest.mark.slow
def test_biased_rows_of_large_calls__are_not_said_to_share_random_numbers():
    def run(target, draft, drafted, seed):
        tokens, lengths = ratio_step(target, draft, drafted, seed)
        # Rows that find no room accept everything.
        behind = np.arange(len(drafted)) >= 300
        tokens[behind, :-1], tokens[behind, -1] = drafted[behind], 0
        lengths[behind] = drafted.shape[1] + 1
        return tokens, lengths

    report = check_sampler(step(run), effort="quick", only=BOTH)
    assert not report.with_status(CheckStatus.FAILED, CheckStatus.BROKEN), report.sentence


def pairs(outcomes, apart, **fields):
    caller = Caller(subject=step(lambda: None, max_batch=8), seed=3)
    return PairProbe(caller=caller, outcomes=lambda size: outcomes, apart=apart, cells=50, **fields)


def test_pairs_of_rows__are_as_far_apart_as_they_say():
    probe = pairs(lambda seed: (np.arange(8) + seed % 2)[:, None], "rows")
    probe.sample(8)
    assert probe.ways[:7] == [f"rows {distance} apart" for distance in range(1, 8)]
    assert probe.ways[7:] == [f"rows 1 apart in calls of {size}" for size in (2, 3, 4, 8)]
    for way, counts in enumerate(probe.evidence.counts[:7]):
        first, second = np.nonzero(counts)
        assert (second - first == way + 1).all()
        assert counts.sum() == 2 * (8 - way - 1)


def test_pairs_of_seeds_and_rows__are_what_they_say():
    """An outcome is made of row and seed; seeds near each other differ in the lowest bits alone."""
    bases = []

    def outcomes(seed):
        # Bases are far apart: the number of the call within its round is the distance from the base.
        if not bases or not 0 <= seed - bases[-1] < SEEDS:
            bases.append(seed)
        return (8 * (seed - bases[-1]) + np.arange(8))[:, None]

    probe = pairs(outcomes, "seeds")
    probe.sample(1)
    for name, counts in zip(probe.ways, probe.evidence.counts, strict=True):
        first, second = np.nonzero(counts)
        if name.startswith("seeds ") and name.endswith(" apart"):
            assert (second - first == 8 * int(name.split()[1])).all()
        if name.endswith(("the seed 1 later", "the seed -1 later")):
            shift, later = int(name.split()[3]), int(name.split()[-2])
            assert (second - first == 8 * later - shift).all()
            assert len(first) == (SEEDS - 1) * (8 - shift)
    assert probe.first.sum() == probe.first.shape[0] * 4


def test_pairs_of_a_way__form_no_circle():
    probe = pairs(lambda seed: np.zeros((8, 1), dtype=int), "seeds")
    ways, left, right = probe._seed_pairs(8)
    for way in range(ways.max() + 1):
        group = np.arange(8 * SEEDS)
        for one, other in zip(left[ways == way], right[ways == way], strict=True):
            assert group[one] != group[other]
            group[group == group[other]] = group[one]
