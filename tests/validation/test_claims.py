"""The claims about the paper: complete, well formed, and established in their small instances."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from specsim.algorithms import catalogue
from specsim.pairs import ModelPair
from specsim.validation import instances
from specsim.validation.claims import variants
from specsim.validation.claims.variants import claim_name
from specsim.validation.claims_model import ExactCheck, RegressionCheck, StatisticalCheck, Verdict
from specsim.validation.mutants.model import all_mutants
from specsim.validation.registry import all_claims, select_claims
from specsim.validation.running.cut_down import SMALL_EFFORT, cut_down
from specsim.validation.running.outcomes import Status
from specsim.validation.running.runner import validate

HOLDS, CONDITION, FAILS = Verdict.HOLDS, Verdict.CONDITION, Verdict.FAILS

#: Rules of the catalogue that have no descriptor of their own.
ONLY_ON_TREES = (
    "confidence-tree",
    "greedy-block", "greedy-drafts", "gumbel", "k-seq", "match", "minhash", "naive-draws", "one-hot",
    "recursive-any-order", "recursive-distinct", "spechub", "summed-coin", "transport", "transport-distinct",
    "traversal", "traversal-distinct", "two-step",
)  # fmt: skip

#: Every row that has to be listed, with the verdict it has to come to.
ROWS = {
    "daliri2024.gumbel": HOLDS,
    "daliri2024.minhash": HOLDS,
    "specsim.naive-draws-bias": HOLDS,
    "yin2024.theorem-1-rejections": HOLDS,
    "yin2024.theorem-1-lossless": HOLDS,
    "yin2024.figure-2a": HOLDS,
    "yin2024.draft-length": CONDITION,
    "yin2024.remark-2": HOLDS,
    "yin2024.theorem-2": HOLDS,
    "yin2024.lemma-1": HOLDS,
    "yin2024.corollary-1": HOLDS,
    "yin2024.lemma-2": CONDITION,
    "yin2024.lower-bound-certificate": HOLDS,
    "yin2024.optimality-scope": FAILS,
    "yin2024.theorem-3": HOLDS,
    "yin2024.equation-22": HOLDS,
    "yin2024.theorem-3-base-case": FAILS,
    "yin2024.batch-lossless": HOLDS,
    "yin2024.batch-monotone": HOLDS,
    "yin2024.batch-draft-length": CONDITION,
    "yin2024.example-uniform": HOLDS,
    "yin2024.example-bernoulli": CONDITION,
    "yin2024.figure-3-legend": FAILS,
    "yin2024.proposition-1-1": HOLDS,
    "yin2024.proposition-1-2": CONDITION,
    "yin2024.proposition-1-3": CONDITION,
    "yin2024.proposition-1-4": FAILS,
    "yin2024.theorem-4": HOLDS,
    "yin2024.theorem-4-several-optima": FAILS,
    "yin2024.theorem-5": HOLDS,
    "yin2024.theorem-5-converse": HOLDS,
    "yin2024.theorem-5-proof": FAILS,
    "yin2024.figure-4-region": FAILS,
    "yin2024.remark-6": HOLDS,
    "yin2024.remark-6-sums": HOLDS,
    "yin2024.calls-identity": HOLDS,
    "yin2024.calls-equal-rejections": FAILS,
    "yin2024.algorithm-4-inside-loop": FAILS,
    "yin2024.algorithm-4-extra-subtraction": FAILS,
    "yin2024.figures-2-5-batch-curves": FAILS,
    "yin2024.listing-uno": FAILS,
    "specsim.laws-autoregressive": HOLDS,
    "specsim.laws-speculative": HOLDS,
    "specsim.laws-rejection-based": HOLDS,
    "specsim.laws-over-acceptance": HOLDS,
    "specsim.laws-batch": HOLDS,
    "specsim.laws-batch-as-printed": HOLDS,
    "specsim.laws-block-verification": HOLDS,
    **{f"specsim.laws-{name}": HOLDS for name in ONLY_ON_TREES},
    "specsim.order-one-path": HOLDS,
    "specsim.order-one-node": CONDITION,
    "specsim.order-trees": HOLDS,
    "specsim.order-drafts": CONDITION,
    "specsim.order-couplings": HOLDS,
    "specsim.engine-literal": HOLDS,
    "specsim.engine-lockstep": HOLDS,
    "specsim.engine-alias": HOLDS,
    "specsim.engine-population": HOLDS,
}


def test_all_claims__have_every_row_with_its_verdict() -> None:
    found = {claim.id: claim.verdict for claim in all_claims()}
    assert {claim_id: found.get(claim_id) for claim_id in ROWS} == ROWS


def test_all_claims__name_mutants_and_sources() -> None:
    for claim in all_claims():
        assert claim.mutants, claim.id
        assert re.search(r"\d{4}\.\d{5}|\w+/[\w.-]+#\d+|docs/[\w-]+\.md", claim.source), claim.id


def test_all_claims__every_rule_with_a_step_law_has_one() -> None:
    ids = {claim.id for claim in all_claims()}
    for rule in catalogue().values():
        assert f"specsim.laws-{claim_name(rule)}" in ids


def test_all_claims__check_every_rule_in_all_ways_and_name_a_mutant_of_its_own() -> None:
    claims = {claim.id: claim for claim in all_claims()}
    mixed_up = {(mutant.name.split("-is-")[0], kill) for mutant in all_mutants() for kill in mutant.kills}
    for rule in catalogue().values():
        claim = claims[f"specsim.laws-{claim_name(rule)}"]
        assert {type(check) for check in claim.checks} == {ExactCheck, StatisticalCheck, RegressionCheck}
        # The rules of the paper have mutants in their own claims.
        assert (rule.name, claim.id) in mixed_up or rule.name in variants.NAMED, rule.name


def test_variants__reach_every_structure_drawing_and_choice() -> None:
    pair = instances.random_pair(contexts=3, horizon=3, seed=1)
    for rule in catalogue().values():
        for shapes in (variants.TINY, variants.LARGE):
            listed = variants.variants(rule, pair, shapes)
            assert {algorithm.structure(3).kind for algorithm in listed} == set(rule.structures)
            assert {algorithm.drawing for algorithm in listed} == set(rule.drawings)
            for name, parameter in rule.parameters.items():
                if parameter.kind == "choice":
                    assert {algorithm.parameters[name] for algorithm in listed} == set(parameter.choices)


# Slow, because `make validate` checks all claims at quick effort.
@pytest.mark.parametrize(
    ("laws", "smallest"),
    [
        pytest.param(False, 1, marks=pytest.mark.slow),
        pytest.param(False, 5, marks=pytest.mark.slow),
        pytest.param(True, 5, marks=pytest.mark.slow),
    ],
)
def test_claims__are_established_in_their_small_instances(laws: bool, smallest: int) -> None:
    """The unmutated suite passes: otherwise the kills of mutants would mean nothing."""
    listed = [claim_id for claim_id in ROWS if claim_id != "yin2024.figures-2-5-batch-curves"]
    chosen = select_claims([claim_id for claim_id in listed if claim_id.startswith("specsim.laws-") == laws])
    report = validate(
        [cut_down(claim, smallest=smallest) for claim in chosen], effort=SMALL_EFFORT, threads=2
    )
    wrong = {item.claim.id: item.checks for item in report.claims if item.status is not Status.AGREES}
    assert not wrong


@pytest.mark.slow
def test_claims__are_established_at_quick_effort() -> None:
    report = validate(effort="quick")
    assert [item.claim.id for item in report.claims if item.status is not Status.AGREES] == []


def _has_zeros(pair: ModelPair) -> bool:
    return bool(((pair.target == 0) | (pair.draft == 0)).any())


def _has_equal_rows(pair: ModelPair) -> bool:
    return bool((pair.target == pair.draft).all(axis=-1).any())


def _has_disjoint_rows(pair: ModelPair) -> bool:
    return bool((np.minimum(pair.target, pair.draft).sum(axis=-1) == 0).any())


@pytest.mark.parametrize("trait", [_has_zeros, _has_equal_rows, _has_disjoint_rows])
@pytest.mark.parametrize("markov", [True, False])
def test_tiny_pairs__have_every_trait(trait: Callable[[ModelPair], bool], markov: bool) -> None:
    pairs = [pair for pair in instances.tiny_pairs("standard") if pair.is_markov == markov]
    assert any(trait(pair) for pair in pairs)


@pytest.mark.parametrize("size", ["quick", "standard"])
def test_large_pairs__have_every_family_and_the_full_size(size: str) -> None:
    pairs = instances.large_pairs(size)
    for family in instances.FAMILIES:
        assert any(f"family={family}" in pair.name for pair in pairs)
    assert any(pair.contexts == 64 and pair.tokens == 64 and pair.horizon == 128 for pair in pairs)
    assert any(not pair.is_markov for pair in pairs)


def test_constant_distance_pair__has_the_distance_everywhere() -> None:
    pair = instances.constant_distance_pair(3)
    distances = np.abs(pair.target - pair.draft).sum(axis=-1) / 2
    assert (distances == 0.25).all()
