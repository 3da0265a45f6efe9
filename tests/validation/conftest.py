"""Fake witnesses: coins instead of decoders, so that the framework is tested without engines and theory."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray

from specsim import ModelPair, Speculative
from specsim.validation.builders import law_check, mean_check, per_step_check
from specsim.validation.claims_model import Claim, ExactCheck, Verdict, equal
from specsim.validation.witnesses import Witnesses

STEPS = np.array([0.5, 0.25, 0.125, 0.0])


def coin_law(steps):
    law = np.array([1.0])
    for p in steps:
        law = np.convolve(law, [1 - p, p])
    return law


def coin_theory(steps=STEPS):
    """Theory of independent rejections."""
    law = coin_law(steps)
    values = np.arange(len(law))
    return SimpleNamespace(
        expected_rejections=lambda pair, algorithm: float(values @ law),
        rejection_law=lambda pair, algorithm: law,
        rejections_by_step=lambda pair, algorithm: np.array(steps),
    )


def coin_simulate(steps=STEPS, log=None):
    """Simulation of independent rejections; `log` collects the calls."""

    def simulate(pair, algorithm, *, runs, seed, progress=None, **options):
        if log is not None:
            log.append({"runs": runs, "seed": seed, **options})
        generator = np.random.Generator(np.random.PCG64(seed))
        by_step = np.zeros(len(steps), np.int64)
        count = np.zeros(len(steps) + 1, np.int64)
        for start in range(0, runs, 2**16):
            size = min(2**16, runs - start)
            rejected = generator.random((size, len(steps))) < steps
            by_step += rejected.sum(axis=0)
            count += np.bincount(rejected.sum(axis=1), minlength=len(steps) + 1)
            if progress:
                progress(start + size)
        return xarray.Dataset(
            {"rejections_by_step": ("step", by_step), "rejection_count": ("rejections", count)},
            coords={"step": np.arange(1, len(steps) + 1)},
            attrs={"runs": np.int64(runs), "engine": "coins"},
        )

    return simulate


def coin_witnesses(*, truth=STEPS, believed=STEPS, log=None, name="as built"):
    return Witnesses(
        simulate=coin_simulate(truth, log),
        theory=coin_theory(believed),
        enumerate_outcomes=lambda pair, algorithm: None,
        name=name,
    )


def coin_pair(number=0, horizon=4):
    first = (number + 1) / 16
    rows = [[[first, 1 - first], [0.5, 0.5]]]
    return ModelPair.from_probabilities(rows, rows, initial=[1, 0], horizon=horizon, name=f"coins {number}")


def three_checks(pair=None):
    case = [(pair or coin_pair(), Speculative())]
    return (
        law_check("law", case, discrepancy=0.05),
        mean_check("mean", case, discrepancy=0.1),
        per_step_check("steps", case, discrepancy=0.05),
    )


def make_claim(claim_id="test.coins", *checks, verdict=Verdict.HOLDS, condition="", mutants=()):
    return Claim(
        id=claim_id,
        title="Coins",
        statement="Coins fall as they should.",
        source="these tests",
        verdict=verdict,
        condition=condition,
        checks=checks or three_checks(),
        mutants=mutants,
    )


def exact_check(name="sum", ok=True):
    return ExactCheck(name, lambda witnesses, effort: [equal("one and one", 2 if ok else 3, 2)])


@pytest.fixture
def coins():
    """Namespace of the helpers of this file."""
    return SimpleNamespace(
        STEPS=STEPS,
        claim=make_claim,
        exact=exact_check,
        law=coin_law,
        pair=coin_pair,
        simulate=coin_simulate,
        theory=coin_theory,
        three=three_checks,
        witnesses=coin_witnesses,
    )
