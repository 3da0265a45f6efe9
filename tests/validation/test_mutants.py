"""Mutants: the correct decoder of the breeding ground passes, every wrong one is rejected."""

import dataclasses

import numpy as np
import pytest

from specsim import (
    Autoregressive,
    Batch,
    BatchAsPrinted,
    BlockVerification,
    ModelPair,
    OverAcceptance,
    RejectionBased,
    Speculative,
    random_pair,
    random_prefix_pair,
)
from specsim.validation.builders import agreement_check
from specsim.validation.claims_model import ExactCheck, RegressionCheck, equal
from specsim.validation.mutants import Mutant, get_mutants
from specsim.validation.mutants.sampler import MUTANTS as DECODERS, replace_decoder
from specsim.validation.mutants.substitutions import MUTANTS as SUBSTITUTIONS
from specsim.validation.mutants.tallies import MUTANTS as TALLIES
from specsim.validation.mutants.theories import MUTANTS as THEORIES
from specsim.validation.running.effort import QUICK
from specsim.validation.running.kill_matrix import evidence, kill_matrix, without_regressions
from specsim.validation.running.outcomes import Status
from specsim.validation.running.runner import validate
from specsim.validation.witnesses import as_built

LIGHT = dataclasses.replace(QUICK, discrepancy_factor=4.0)

TREE = random_prefix_pair(tokens=3, horizon=3, family="uniform", seed=4)
CHAIN = random_pair(contexts=4, horizon=8, family="uniform", seed=5)

SPECULATIVE = (Speculative(), Speculative(draft_length=2), Speculative(draft_length=2, bonus=False))
BATCH = (Batch(drafts=1), Batch(drafts=3), Batch(drafts=2, draft_length=2, bonus=True))
OVER_ACCEPTANCE = tuple(
    OverAcceptance(epsilon=0.125, residual=residual) for residual in ("optimal", "target", "draft")
)
AS_PRINTED = tuple(BatchAsPrinted(drafts=2, slip=slip) for slip in ("inside-loop", "extra-subtraction"))
BLOCK = (BlockVerification(draft_length=2),)
PLAIN = (Autoregressive(),)

#: What the mutants that change something else than speculative decoding change.
CONCERNED = {
    "one-draft-fewer": BATCH,
    "batch-inside-loop": BATCH,
    "batch-extra-subtraction": BATCH,
    "chain-not-updated": BATCH,
    "printed-is-corrected": AS_PRINTED,
    "block-is-token-wise": BLOCK,
    "autoregressive-from-draft": PLAIN,
    "epsilon-ignored": OVER_ACCEPTANCE,
    "residuals-swapped": OVER_ACCEPTANCE,
}


def member(pair):
    return (RejectionBased(acceptance=np.full(pair.target.shape, 0.5), residual=pair.target),)


def everything(pair):
    return (*SPECULATIVE, *BATCH, *OVER_ACCEPTANCE, *AS_PRINTED, *BLOCK, *PLAIN, *member(pair))


def checks(algorithms):
    small = ("joint_law", "output_law", "transition_marginals", "target_call_law", "accepted_length_counts")
    return (
        agreement_check(
            "tree", [(TREE, one) for one in algorithms(TREE)], statistics=small, demands={"joint_law": 0.03}
        ),
        agreement_check("chain", [(CHAIN, one) for one in algorithms(CHAIN)]),
    )


def test_decoder_without_mistakes_passes_everything(coins):
    correct = replace_decoder(None, Speculative, Batch)(as_built())
    claim = coins.claim("a.a", *checks(lambda pair: (*SPECULATIVE, *BATCH)))
    report = validate([claim], effort=LIGHT, witnesses=correct)
    assert report.status is Status.AGREES, evidence(report.claims[0])


def test_witnesses_as_built_pass_everything(coins):
    claim = coins.claim("a.a", *checks(everything))
    report = validate([claim], effort=LIGHT)
    assert report.status is Status.AGREES, evidence(report.claims[0])


@pytest.mark.parametrize("mutant", [*SUBSTITUTIONS, *TALLIES, *DECODERS], ids=lambda mutant: mutant.name)
def test_simulator_mutant_is_rejected(coins, mutant):
    chosen = CONCERNED.get(mutant.name, SPECULATIVE)
    algorithms = member if mutant.name == "acceptance-ignored" else lambda pair: chosen
    claim = coins.claim("a.a", *checks(algorithms), mutants=(mutant.name,))
    matrix = kill_matrix([claim], [mutant], LIGHT)
    assert matrix.complete, [kill.evidence for kill in matrix.survivors]


def exact_laws(witnesses, effort):
    theory = witnesses.theory
    outside = ModelPair.from_probabilities(
        [[0.5, 0.5], [0.25, 0.75]], [[1.0, 0.0], [0.25, 0.75]], initial=[1, 0], horizon=3, name="outside"
    )
    for pair in (TREE, outside):
        drafts = 2
        batch = witnesses.enumerate_outcomes(pair, Batch(drafts=drafts))
        speculative = witnesses.enumerate_outcomes(pair, Speculative())
        yield equal(
            "theorem 1", theory.theorem_1_rejections(pair, exact=True), speculative.expected_rejections()
        )
        yield equal(
            "theorem 3", theory.batch_rejections(pair, drafts, exact=True), batch.expected_rejections()
        )
        for position, masses in enumerate(theory.batch_rejection_masses(pair, drafts, exact=True), start=1):
            yield equal(f"f at {position}", masses, batch.rejected_prefix_masses(position))
        yield equal(
            "limit",
            theory.batch_limit_rejections(pair, exact=True),
            theory.expected_rejections(pair, Batch(drafts=float("inf")), exact=True),
        )
        for algorithm in (Speculative(), Batch(drafts=2), BatchAsPrinted(drafts=2, slip="inside-loop")):
            outcomes = witnesses.enumerate_outcomes(pair, algorithm)
            for name in (
                "expected_rejections", "expected_target_calls", "rejection_law", "rejection_variance",
                "rejections_by_step", "output_law", "output_marginals", "accepted_length_law",
            ):  # fmt: skip
                found = getattr(theory, name)(pair, algorithm, exact=True)
                yield equal(f"{name}, {algorithm.label}", found, getattr(outcomes, name)())


@pytest.mark.parametrize("mutant", THEORIES, ids=lambda mutant: mutant.name)
def test_theory_mutant_is_rejected(coins, mutant):
    claim = coins.claim("a.a", ExactCheck("laws", exact_laws), mutants=(mutant.name,))
    matrix = kill_matrix([claim], [mutant], LIGHT)
    assert matrix.complete, [kill.evidence for kill in matrix.survivors]


def test_theory_as_built_passes_the_same_check(coins):
    report = validate([coins.claim("a.a", ExactCheck("laws", exact_laws))], witnesses=as_built())
    assert report.status is Status.AGREES, evidence(report.claims[0])


# The matrix itself, with coins.


def coin_mutant(coins, name, steps=None, **changes):
    def apply(witnesses):
        if steps is not None:
            changes["simulate"] = coins.simulate(steps)
        return witnesses.replace(**changes)

    return Mutant(name=name, description="Wrong coins.", cite="here", apply=apply)


def test_kill_matrix__kills_survivors_and_orphans(coins):
    wrong = coin_mutant(coins, "wrong", coins.STEPS + 0.2)
    harmless = coin_mutant(coins, "harmless", coins.STEPS)
    orphan = coin_mutant(coins, "orphan")
    claims = [
        coins.claim("a.a", mutants=("wrong", "harmless")),
        coins.claim("a.b", *coins.three(coins.pair(1)), mutants=("wrong",)),
        coins.claim("a.c", coins.exact()),
    ]
    seen = []
    matrix = kill_matrix(
        claims,
        [wrong, harmless, orphan],
        witnesses=coins.witnesses(),
        progress=lambda name, done, total: seen.append((name, done, total)),
    )
    assert [(kill.mutant, kill.claim, kill.killed) for kill in matrix.kills] == [
        ("wrong", "a.a", True), ("wrong", "a.b", True), ("harmless", "a.a", False),
    ]  # fmt: skip
    assert "sigma" in matrix.kills[0].evidence
    assert matrix.kills[2].evidence == "nothing noticed"
    assert matrix.unassigned == ("orphan",)
    assert not matrix.complete
    assert seen == [("wrong", 0, 3), ("harmless", 1, 3), ("orphan", 2, 3)]


def test_kill_matrix__mutants_may_name_claims(coins):
    mutant = dataclasses.replace(coin_mutant(coins, "wrong", coins.STEPS + 0.2), kills=("test.coins",))
    assert kill_matrix([coins.claim()], [mutant], witnesses=coins.witnesses()).complete


def test_kill_matrix__a_crash_is_no_kill(coins):
    def crash(*arguments, **options):
        raise RuntimeError("broken, not wrong")

    mutant = dataclasses.replace(coin_mutant(coins, "crash", simulate=crash), kills=("test.coins",))
    (kill,) = kill_matrix([coins.claim()], [mutant], witnesses=coins.witnesses()).kills
    assert not kill.killed
    assert kill.status is Status.ERROR
    assert "broken, not wrong" in kill.evidence


def test_without_regressions(coins):
    regression = RegressionCheck("r", lambda witnesses: {})
    claim = coins.claim("a.a", coins.exact(), regression)
    assert [check.name for check in without_regressions(claim).checks] == ["sum"]
    alone = coins.claim("a.a", regression)
    assert without_regressions(alone) == alone


def test_mutants__replace_nothing_else():
    (mutant,) = get_mutants(["theory-tv-without-half"])
    start = as_built()
    changed = mutant.apply(start)
    assert changed.simulate is start.simulate
    assert changed.enumerate_outcomes is start.enumerate_outcomes
    one, two = (w.theory.theorem_1_rejections(TREE, exact=True) for w in (start, changed))
    assert two == 2 * one
    assert changed.theory.expected_rejections is start.theory.expected_rejections
