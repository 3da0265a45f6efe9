"""Decoders and trees on unusual inputs: sizes, prompts that share, edge rows; lengths that fit a rule."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.kill_matrix import MATRIX_EFFORTS, judge_mutant
from benchmarks.zoo import get_controls, get_mutants
from specsim.errors import InputError
from specsim.validation.conformance.calling import Caller
from specsim.validation.conformance.checks.decoder import decoder_probe
from specsim.validation.conformance.decoder_prompts import TOGETHER, drawn_prompts, of_blocks
from specsim.validation.conformance.decoder_sizes import HALVED_LAWS, WIDE_LAWS, DecoderSizes
from specsim.validation.conformance.decoder_suspects import _lengths
from specsim.validation.conformance.edge_rows import EDGE_LAWS, KINDS, EdgeTexts, EdgeTrees
from specsim.validation.conformance.laboratory import EFFORTS, Laboratory
from specsim.validation.conformance.ranked import Parts, bent_laws, ranked_instance
from specsim.validation.conformance.results import CheckStatus
from specsim.validation.conformance.rules import get_rule
from specsim.validation.conformance.running import Session, check_sampler
from specsim.validation.conformance.tables import is_law

QUICK = [
    "one-draft-replaced-from-target",
    "one-draft-one-coin",
    "one-token-from-draft",
    "shared-pages-rounded-up",
    "page-hash-without-parents",
    "replaced-in-drafts-support",
    "certain-rows-untested",
    "sure-drafts-untested",
    "like-rows-untested",
    "tree-replaced-in-drafts-support",
    "distinct-replaced-in-drafts-support",
    "tree-certain-rows-untested",
    "tree-sure-drafts-untested",
    "tree-like-rows-untested",
]
RIGHT = "page-hash-with-parents"


def run_alone(subject, name, effort="quick"):
    """Return the result of one check, without a diagnosis, and what was reached."""
    session = Session(subject, effort=effort, only=[name])
    return session.run(session.checks[0]), session.laboratory.reached()


@pytest.mark.parametrize("name", QUICK)
def test_wrong_inputs_are_found(name):
    assert judge_mutant(get_mutants([name])[0]).killed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["one-row-replaced-from-target", "target-ids-of-eight-bits"])
def test_wrong_sizes_are_found_without_a_rule_at_effort_quick(name):
    subject = get_mutants([name])[0].subject.replace(rule=None)
    assert run_alone(subject, "sizes")[0].status is CheckStatus.FAILED


@pytest.mark.parametrize(
    "name", ["page-hash-with-parents", "certain-rows-compared", "tree-certain-rows-compared"]
)
def test_unusual_right_ones_pass(name):
    subject = get_controls([name])[0].subject
    for check in ("edge-rows", *(["whole-prefix"] if subject.protocol == "decoder" else [])):
        assert run_alone(subject, check)[0].status is CheckStatus.PASSED


def test_an_error_on_rows_of_one_kind_is_named():
    report = check_sampler(get_mutants(["like-rows-untested"])[0].subject, effort="quick", only=["edge-rows"])
    assert "nearly equal" in report.checks[0].deviations[0].where
    assert "only rows nearly equal" in str(report)


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_laws_of_edge_and_halved_rows_are_laws(ranks):
    assert len(EDGE_LAWS[ranks]) == len(KINDS)
    for laws in (*EDGE_LAWS[ranks], HALVED_LAWS[ranks], WIDE_LAWS):
        assert [sum(law) for law in laws] == [256, 256]
    target, draft = np.moveaxis(np.array(EDGE_LAWS[ranks]) / 256, 1, 0)
    for law in bent_laws(target, draft).values():
        assert is_law(law)


def test_several_kinds_of_rows_are_equally_frequent_and_have_their_laws():
    ranked = ranked_instance(3, vocabulary=6, draft_length=1, several=EDGE_LAWS[4])
    assert set(np.bincount(ranked.kinds)) == {8, 9}
    laws = np.array(EDGE_LAWS[4]) / 256
    for rows, side in ((ranked.instance.target, 0), (ranked.instance.draft, 1)):
        sums = np.stack([np.where(ranked.ranks == rank, rows, 0).sum(axis=1) for rank in range(4)], axis=1)
        np.testing.assert_allclose(sums, laws[ranked.kinds, side])


@pytest.mark.parametrize("most", [2, 3])
def test_edge_rows_of_few_tokens_are_taken(most):
    for name, probe in ((RIGHT, EdgeTexts), ("tree-certain-rows-compared", EdgeTrees)):
        subject = get_controls([name])[0].subject.replace(max_vocabulary=most)
        found = probe(Caller(subject=subject, seed=1), np.random.default_rng(2), seed=3)
        found.sample(150)
        assert all(look.evidence.log_e(look.counts()) < 7 for look in found.looks(0.0))
        assert (found.counts.sum(axis=1) > 0).all()


def test_prompts_that_begin_alike_differ_after_any_length():
    rng, ends = np.random.default_rng(4), set()
    for _ in range(200):
        prompts, periods, together = drawn_prompts(rng, 30, 40, 5)
        assert prompts.shape == (30, 40)
        assert set(periods) <= set(range(7))
        for prompt, period in zip(prompts, periods, strict=True):
            np.testing.assert_array_equal(prompt[40 - period :], prompt[40 - 2 * period : 40 - period])
        if TOGETHER[together] == "prompts that begin alike":
            ends.add(int((prompts == prompts[:1]).all(axis=0).argmin()))
    assert len(ends) > 20
    assert {end % 16 for end in ends} > {0, 1, 15}


def test_blocks_stand_after_other_blocks_and_at_other_places():
    rng = np.random.default_rng(5)
    prompts = of_blocks(rng, 40, 64, 7)
    size = 16 if (len(np.unique(prompts.reshape(-1, 16), axis=0)) <= 3) else 8
    blocks = prompts.reshape(40, -1, size)
    assert len(np.unique(blocks.reshape(-1, size), axis=0)) in (2, 3)
    second = blocks[(blocks[:, 1] == blocks[0, 1]).all(axis=1), 0]
    assert len(np.unique(second, axis=0)) > 1


def parts_of(coin_kept, seed=6):
    """Return the evidence of replacements that are drawn with the coin of a test which failed, or another."""
    rng = np.random.default_rng(seed)
    target, draft = (np.broadcast_to(np.array(law) / 256, (2_000, 1, 4)) for law in HALVED_LAWS[4])
    orders = rng.permuted(np.tile(np.arange(4), (2_000, 1)), axis=1)[:, None]
    target, draft = np.take_along_axis(target, orders, axis=2), np.take_along_axis(draft, orders, axis=2)
    drafted = (draft.cumsum(axis=2) <= rng.random((2_000, 1, 1))).sum(axis=2)
    test, other = rng.random((2, 2_000, 1))
    ratio = np.take_along_axis(target / draft, drafted[..., None], axis=2)[..., 0]
    left = np.maximum(target - draft, 0)
    coin = (test if coin_kept else other) * left.sum(axis=2)
    drawn = (left.cumsum(axis=2) <= coin[..., None]).sum(axis=2)
    tokens = np.where(test < ratio, drafted, np.minimum(drawn, 3))
    parts = Parts({"rows": ["one row", "two rows"]})
    parts.add(target, draft, tokens, rng.random(tokens.shape), rows=1)
    return parts.looks(0.0)[0]


def test_coins_that_test_and_draw_move_replacements():
    assert parts_of(coin_kept=True).evidence.log_e(parts_of(coin_kept=True).counts()) > 20
    fresh = [parts_of(coin_kept=False, seed=seed) for seed in range(60)]
    assert np.mean([np.exp(min(look.evidence.log_e(look.counts()), 3.0)) for look in fresh]) < 1.5


@pytest.mark.slow
def test_wide_vocabularies_that_are_refused_leave_the_other_sizes():
    subject = get_controls([RIGHT])[0].subject
    run, refused = subject.run, []

    def narrow(models, prompts, new_tokens, seed):
        if models.vocabulary > 30:
            refused.append(models.vocabulary)
            raise InputError("too many tokens")
        return run(models, prompts, new_tokens, seed)

    result, reached = run_alone(subject.replace(run=narrow), "sizes", MATRIX_EFFORTS["quick"])
    assert result.status is CheckStatus.PASSED
    assert len(refused) == 1
    assert reached["vocabulary"][1] >= 16


def test_no_vocabulary_is_wider_than_declared():
    subject = get_controls([RIGHT])[0].subject.replace(max_vocabulary=70)
    probe = DecoderSizes(
        Caller(subject=subject, seed=1), np.random.default_rng(1), 10, seed=2, drafts=3, long=True
    )
    assert probe.wide.levels["tokens"][-1] == "64 to 127 tokens in the vocabulary"
    probe.sample(probe.planned)
    assert probe.caller.reached["vocabulary"][1] == 64


def test_accepted_lengths_are_compared_by_context():
    subject = get_controls(["page-hash-with-parents"])[0].subject
    lab = Laboratory(subject, EFFORTS["quick"], eps=0.05, delta=1e-3, seed=1)
    probe = decoder_probe(lab)
    probe.sample(6_000)
    assert probe.rounds.shape[0] != probe.rounds.shape[1]
    assert _lengths(lab, probe, get_rule("ratio")) == {"accepted lengths": True}
    assert _lengths(lab, probe, get_rule("block")) == {"accepted lengths": False}
    # A context whose rounds are all of one length, where the law has several.
    probe.rounds[:, -1] = 0
    probe.rounds[0, -1, 0] = 500
    assert _lengths(lab, probe, get_rule("ratio")) == {"accepted lengths": False}
