"""Every claim is rejected by at least one mutant, so every claim can fail."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from specsim.validation.claims_model import Claim, ExactCheck
from specsim.validation.mutants import all_mutants, get_mutants
from specsim.validation.registry import all_claims
from specsim.validation.running.cut_down import SMALL_EFFORT, cut_down
from specsim.validation.running.kill_matrix import kill_matrix
from specsim.validation.witnesses import Witnesses, as_built

#: Claims whose mutants are wrong simulators: only their statistical checks can reject them.
BY_SIMULATION = {
    "specsim.laws-speculative": "draft-rows-sharpened",
    "specsim.laws-block-product-coins": "draft-rows-sharpened",
    "specsim.vocabulary-best-size": "theory-head-of-one-size",
    "specsim.laws-gumbel": "draft-rows-sharpened",
    "specsim.laws-minhash": "draft-rows-sharpened",
    "specsim.laws-traversal": "context-never-advances",
    "specsim.engine-literal": "residual-from-target",
    "specsim.engine-lockstep": "residual-from-target",
    "specsim.engine-alias": "one-draft-fewer",
    "specsim.engine-population": "one-draft-fewer",
    "yin2024.theorem-1-lossless": "residual-from-target",
    "yin2024.batch-lossless": "batch-inside-loop",
}


#: Of the claims over all laws of a rule the fast tests have those of a chain, of paths and of trees.
FAST_LAWS = (
    "specsim.laws-block-verification",
    "specsim.laws-greedy-block",
    "specsim.laws-recursive-distinct",
)

#: Of the claims about simulation, those of the engines, a claim about a rule and one of a paper.
FAST_SIMULATIONS = ("specsim.engine-", "specsim.laws-traversal", "yin2024.theorem-1-lossless")


def _params() -> list[Any]:
    return [
        pytest.param(
            claim,
            id=claim.id,
            marks=[pytest.mark.slow]
            if claim.id.startswith("specsim.laws-") and claim.id not in FAST_LAWS
            else [],
        )
        for claim in all_claims()
        if claim.id not in BY_SIMULATION
    ]


def _rejected_exactly(claim: Claim, witnesses: Witnesses) -> bool:
    """Whether an exact comparison fails. A check that crashes has rejected nothing."""
    for check in claim.checks:
        if not isinstance(check, ExactCheck):
            continue
        try:
            if any(not comparison.agrees for comparison in check.run(witnesses, SMALL_EFFORT)):
                return True
        except Exception:
            continue
    return False


@pytest.mark.parametrize("claim", _params())
def test_claim__is_rejected_exactly_by_one_of_its_mutants(claim: Claim) -> None:
    assert any(
        _rejected_exactly(claim, mutant.apply(as_built())) for mutant in reversed(get_mutants(claim.mutants))
    )


@pytest.mark.parametrize(
    ("claim_id", "mutant"),
    [
        pytest.param(*entry, marks=[] if entry[0].startswith(FAST_SIMULATIONS) else [pytest.mark.slow])
        for entry in BY_SIMULATION.items()
    ],
)
def test_claim__is_rejected_in_simulation_by_a_mutant(claim_id: str, mutant: str) -> None:
    (claim,) = (claim for claim in all_claims() if claim.id == claim_id)
    assert mutant in claim.mutants
    cut = cut_down(claim, smallest=2)
    simulated = tuple(check for check in cut.checks if check.kind == "statistical")
    only = dataclasses.replace(cut, checks=simulated, mutants=(mutant,))
    (kill,) = kill_matrix([only], get_mutants([mutant]), SMALL_EFFORT, threads=1).kills
    assert kill.killed, kill.evidence


@pytest.mark.slow
def test_kill_matrix__has_no_survivors() -> None:
    matrix = kill_matrix([cut_down(claim) for claim in all_claims()], all_mutants(), SMALL_EFFORT, threads=1)
    assert [(kill.mutant, kill.claim, kill.evidence) for kill in matrix.survivors] == []
    assert matrix.unassigned == ()
    assert {kill.claim for kill in matrix.kills} >= {claim.id for claim in all_claims()}
