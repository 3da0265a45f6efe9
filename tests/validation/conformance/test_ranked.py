"""Rows whose ranks have one law, experiments at every size, and rounds that depend on each other."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.zoo import get_controls, get_mutants
from specsim.validation.conformance.calling import SEED_RANGE, Caller
from specsim.validation.conformance.checks.options import MORE_VALUES
from specsim.validation.conformance.checks.rounds import LAWS, SAME_LAWS, by_rank
from specsim.validation.conformance.decoder_prompts import repeating
from specsim.validation.conformance.decoder_sizes import APART
from specsim.validation.conformance.filters import filtered, untypical
from specsim.validation.conformance.instances import (
    Instance,
    chain_instance,
    edge_instances,
    telling_zeros,
    tree_instance,
    wide_instance,
)
from specsim.validation.conformance.ranked import (
    KINDS,
    Copies,
    Echoes,
    bent_laws,
    laws_by_rank,
    ranked_instance,
)
from specsim.validation.conformance.results import CheckStatus
from specsim.validation.conformance.rules.round_bugs import ROUND_BUGS
from specsim.validation.conformance.running import Session, check_sampler
from specsim.validation.conformance.sizes import StepSizes, octave
from specsim.validation.conformance.subjects import as_subject
from specsim.validation.conformance.tables import is_law

FIXTURE = Instance(
    name="fixture B",
    target=np.array([[0.50, 0.30, 0.15, 0.05]]),
    draft=np.array([[0.20, 0.45, 0.10, 0.25]]),
    next_context=np.zeros((1, 4), dtype=np.int64),
    start=0,
    draft_length=2,
)


@pytest.mark.parametrize("vocabulary", [2, 3, 4, 5, 33])
def test_ranked_rows_are_the_same_laws_with_the_tokens_in_another_order(vocabulary):
    ranked = ranked_instance(3, vocabulary=vocabulary, draft_length=2, equal=0.4)
    target, draft = laws_by_rank(min(4, vocabulary))
    for rows, laws in ((ranked.instance.target, target), (ranked.instance.draft, draft)):
        for context, kind in enumerate(ranked.kinds):
            found = np.bincount(ranked.ranks[context], weights=rows[context], minlength=laws.shape[1])
            np.testing.assert_allclose(found, laws[kind], atol=1e-15)
    assert set(ranked.kinds) == set(range(len(KINDS)))


def test_laws_that_a_wrong_sampler_may_have_are_laws_under_every_option():
    for options in ({}, {"temperature": 0.7}, {"top_k": 2}, {"top_p": 0.8}, {"min_p": 0.3}):
        for ranks in (2, 3, 4):
            rows = [filtered(law, options) for law in laws_by_rank(ranks)]
            for law in bent_laws(*rows).values():
                assert is_law(law)


@pytest.mark.parametrize("ranks", [2, 3, 4])
@pytest.mark.parametrize("side", [0, 1], ids=["target", "draft"])
def test_no_further_value_of_an_option_is_at_the_edge_of_what_it_keeps(ranks, side):
    rows = laws_by_rank(ranks)[side]
    for option, values in MORE_VALUES.items():
        for value in values:
            if option in ("top_p", "min_p", "typical_p") and 0 < value < 1:
                kept = [filtered(rows, {option: value * by}) > 0 for by in (0.996, 1.004)]
                assert (kept[0] == kept[1]).all(), (option, value)
    assert (np.diff(np.sort(untypical(rows), axis=1), axis=1) > 1e-3).all()


@pytest.mark.parametrize("sides", ["both", "target"])
def test_drafts_of_a_step_have_the_options_that_apply_to_drafts(sides):
    """With filters on the target alone, drafts from filtered rows would make a right sampler biased."""
    seen = set()

    def step(target, draft, drafted, seed, top_k=None):
        ranks = (-draft).argsort(axis=2).argsort(axis=2)
        seen.update(np.take_along_axis(ranks, drafted[:, :, None], axis=2).ravel().tolist())
        return np.concatenate([drafted, drafted[:, -1:]], axis=1), np.ones(len(drafted), dtype=np.int64)

    caller = Caller(subject=as_subject(step, filters=sides), seed=1)
    probe = StepSizes(caller, np.random.default_rng(1), 40, seed=3, options={"top_k": 2})
    probe.sample(200)
    assert seen == (set(range(2)) if sides == "both" else set(range(4)))


def test_a_ranked_context_never_forgets_a_token():
    ranked = ranked_instance(3, vocabulary=5, draft_length=2, equal=0.4)
    table = ranked.instance.next_context
    for token in range(5):
        assert sorted(table[:, token]) == list(range(len(table)))
    rng = np.random.default_rng(0)
    texts = rng.integers(0, 5, size=(500, 40))
    other = texts.copy()
    other[:, 0] = (other[:, 0] + 1) % 5
    ends = [ranked.instance.contexts(tokens)[:, 1:] for tokens in (texts, other)]
    differ = ends[0][:, 0] != ends[1][:, 0]
    assert differ.mean() > 0.9
    assert (ends[0][differ] != ends[1][differ]).all()


@pytest.mark.parametrize("shape", [(40, 3), (40, 4), (40, 7)])
def test_telling_zeros_show_a_forbidden_draft_that_is_replaced_from_the_target(shape):
    from specsim.support.streams import Stream

    target, draft = telling_zeros(Stream(5, "test"), shape)
    np.testing.assert_allclose(target.sum(axis=1), 1)
    forbidden = np.where(target > 0, 0, draft).sum(axis=1)
    residual = np.maximum(target - draft, 0)
    away = 0.5 * np.abs(residual / residual.sum(axis=1, keepdims=True) - target).sum(axis=1)
    assert (forbidden >= 0.2).all()
    assert (forbidden * away >= 0.04).all()


def test_main_rows_and_edges_have_zeros_that_are_drafted():
    for instance in (tree_instance(9, zeros=True), edge_instances(9)["zeros in the target"]):
        forbidden = np.where(instance.target > 0, 0, instance.draft).sum(axis=1)
        assert (forbidden >= 0.2).sum() >= len(forbidden) // 2 - 1


def test_wide_rows_have_likely_tokens_at_both_ends():
    rows = wide_instance(1, vocabulary=2003).target
    assert rows[1, -200:].sum() > 0.5
    assert rows[2, :200].sum() > 0.5


def test_seeds_of_calls_are_far_apart():
    caller = Caller(subject=as_subject(lambda target, draft, drafted, seed: None), seed=SEED_RANGE - 5)
    seeds = np.sort([caller.next_seed() for _ in range(5000)])
    assert np.diff(seeds).min() > SEED_RANGE / 5000 / 4
    assert 0 <= seeds[0] < seeds[-1] < SEED_RANGE


def test_every_size_is_reached_by_little_work(samplers):
    session = Session(as_subject(samplers.ratio), effort=samplers.light, only=["sizes"])
    assert session.run(session.checks[0]).status is CheckStatus.PASSED
    reached = session.laboratory.reached()
    assert reached["drafts"] == (1, 16)
    assert reached["rows"][0] == 1
    assert octave(reached["rows"][1]) == octave(4095)
    assert octave(reached["vocabulary"][1]) == octave(2047)


def test_sizes_that_a_subject_cannot_take_are_left_out(samplers):
    subject = as_subject(samplers.ratio, max_batch=3, max_vocabulary=5, max_draft_length=2)
    report = check_sampler(subject, effort=samplers.light, only=["sizes"])
    assert report.checks[0].status is CheckStatus.PASSED
    assert report.reached["rows"] == (1, 3)
    assert report.reached["drafts"] == (1, 2)
    assert report.reached["vocabulary"][1] <= 5


def test_a_refused_wide_seed_is_no_fault(samplers):
    def narrow(target, draft, drafted, seed):
        np.random.RandomState(seed)  # refuses seeds of more than 32 bits
        return samplers.ratio(target, draft, drafted, seed)

    report = check_sampler(narrow, effort=samplers.light, only=["seed-independence"])
    assert report.checks[0].status is CheckStatus.PASSED


@pytest.mark.parametrize(
    ("name", "distance"),
    [
        ("block-coins-kept", 0.0116035714),
        ("greedy-block-coins-kept", 0.0484615385),
        ("failed-coin-kept", 0.07),
    ],
)
def test_laws_of_two_tokens_where_failed_coins_are_used_again(name, distance):
    bug = next(bug for bug in ROUND_BUGS if bug.name == name)
    law = bug.text_law(FIXTURE, 0)
    assert law.sum() == pytest.approx(1, abs=1e-12)
    right = FIXTURE.target_law(2)
    assert 0.5 * np.abs(law - right).sum() == pytest.approx(distance, abs=1e-9)


@pytest.mark.parametrize("bug", ROUND_BUGS, ids=lambda bug: bug.name)
@pytest.mark.parametrize("instance", [by_rank(LAWS[4], 3), chain_instance(7, vocabulary=3, draft_length=2)])
def test_decoders_that_use_failed_coins_again_have_the_stated_law(bug, instance):
    """The zoo's decoder shares no code with the law."""
    mutant = get_mutants([bug.name])[0]

    class Models:
        start, vocabulary, draft_length = instance.start, instance.vocabulary, instance.draft_length
        target = staticmethod(lambda tokens: instance.target[instance.contexts(tokens)[:, 1:]])
        draft = staticmethod(lambda tokens: instance.draft[instance.contexts(tokens)[:, 1:]])

    prompts = np.zeros((8_000, 1), dtype=np.int64)
    start = int(instance.next_context[instance.start, 0])
    written = instance.draft_length + 2
    tokens, accepted = mutant.subject.run(Models, prompts, written, 5)
    first = np.array([row[0] for row in accepted])
    law = bug.after(instance, start)
    counts = np.zeros(law.shape)
    contexts = instance.contexts(np.concatenate([prompts, tokens], axis=1))[:, 1:]
    rows = np.arange(len(first))
    np.add.at(counts, (first, contexts[rows, first + 1], tokens[rows, first + 1]), 1)
    spread = np.sqrt(len(first) * np.maximum(law * (1 - law), 1e-12))
    # 6 standard errors and 6 counts in each of a few hundred cells: a false alarm in 10^6 tests.
    assert (np.abs(counts - len(first) * law) < 6 * spread + 6).all()
    assert law.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", ["block-drafts-kept", "decoder-ratio-drafts-kept"])
def test_decoders_that_draw_rejected_drafts_again_have_the_stated_law(name):
    """The zoo's decoder shares no code with the law; under the ratio rule it is the target's."""
    instance = by_rank(SAME_LAWS[3], 3)
    block = name == "block-drafts-kept"
    run = (get_mutants if block else get_controls)([name])[0].subject.run
    law = next(bug for bug in ROUND_BUGS if bug.last == block).after_drafts(instance)
    if not block:
        np.testing.assert_allclose(law, np.repeat(instance.target, 4, axis=0), atol=1e-12)

    class Models:
        vocabulary, draft_length = 3, 3
        target = staticmethod(lambda tokens: np.broadcast_to(instance.target[0], (*np.shape(tokens), 3)))
        draft = staticmethod(lambda tokens: np.broadcast_to(instance.draft[0], (*np.shape(tokens), 3)))

    tokens, accepted = run(Models, np.zeros((8_000, 1), dtype=np.int64), 5, 5)
    first = np.array([row[0] for row in accepted])
    counts = np.zeros(law.shape)
    np.add.at(counts, (first, tokens[np.arange(len(first)), first + 1]), 1)
    total = counts.sum(axis=1, keepdims=True)
    assert (np.abs(counts - total * law) < 6 * np.sqrt(total * law * (1 - law)) + 6).all()


def echo(rng, period=None, texts=30, length=40, spread=0):
    """Return the evidence that tokens depend on earlier ones; coins may come again after a period or more."""
    echoes = Echoes([distance for distance in APART if distance < length], [(9, 16), (17, 24)])
    rows = rng.dirichlet(np.ones(5), size=(texts, length))
    coins = rng.random((texts, length))
    if period is not None:
        for place in range(period, length):
            before = np.maximum(place - period - rng.integers(0, spread + 1, size=texts), 0)
            coins[:, place] = coins[np.arange(texts), before]
    tokens = np.minimum((rows.cumsum(axis=2) <= coins[..., None]).sum(axis=2), 4)
    echoes.add(rows, tokens, rng.random(tokens.shape))
    return echoes.look(0.0)


def test_echoes__of_fresh_coins_have_e_values_of_mean_at_most_one():
    """A token is counted once per distance: all strata together would be no martingale."""
    rng = np.random.default_rng(5)
    values = [
        np.exp(min(look.evidence.log_e(look.counts()), 3.0)) for look in (echo(rng) for _ in range(100))
    ]
    assert np.mean(values) < 1
    assert {"some stratum"} <= {part.name for part in echo(rng).components()}
    assert "all strata" not in {part.name for part in echo(rng).components()}


def test_echoes__of_coins_that_come_again_are_evidence():
    look = echo(np.random.default_rng(6), period=16)
    assert look.evidence.log_e(look.counts()) > 20
    best = max(look.components(), key=lambda part: part.log_ratio)
    assert best.name == "0.4 of the coins those of 16 tokens before"


def test_echoes__of_coins_that_come_again_at_varying_distances_are_evidence():
    look = echo(np.random.default_rng(7), period=17, texts=400, spread=7)
    assert look.evidence.log_e(look.counts()) > 20
    near, band = look.counts()[-2:] / look.counts()[-2:].sum(axis=1, keepdims=True)
    assert np.abs(near - 0.25).max() < 0.02
    assert band[0] > 0.3
    assert look.name_cell(len(look.counts()) - 1, 0) == (
        "a token in the quarter of its row that had most tokens 17 to 24 before"
    )


def test_prompts_that_repeat_end_with_a_whole_period():
    rng = np.random.default_rng(8)
    drawn = rng.integers(0, 50, size=(400, 20))
    prompts, periods = repeating(rng, drawn)
    assert set(periods) == set(range(7))
    for row, prompt, period in zip(drawn, prompts, periods, strict=True):
        if period:
            np.testing.assert_array_equal(prompt[-period:], row[-period:])
            np.testing.assert_array_equal(prompt[:-period], prompt[period:])
        else:
            np.testing.assert_array_equal(prompt, row)
    assert (repeating(rng, drawn[:, :1])[1] == 0).all()


def copies(rng, more=0.0):
    """Return the look at texts after repeating prompts; `more` of them repeat the prompt once more."""
    ranked = ranked_instance(3, vocabulary=4, draft_length=2, equal=0.4)
    instance, found = ranked.instance, Copies(4)
    prompts, periods = repeating(rng, rng.integers(0, 4, size=(300, 9)))
    text = prompts
    for _ in range(5):
        rows = instance.target[instance.contexts(text)[:, -1]]
        token = (rows.cumsum(axis=1) <= rng.random((300, 1))).sum(axis=1)
        again = text[np.arange(300), text.shape[1] - np.maximum(periods, 1)]
        token = np.where(rng.random(300) < more, again, token)
        text = np.concatenate([text, token[:, None]], axis=1)
    contexts = instance.contexts(text)[:, 9:-1]
    found.add(ranked.kinds[contexts], ranked.ranks[contexts], text[:, 9:], prompts, periods)
    return found.look(laws_by_rank(4)[0], 0.0)


def test_copies__of_the_prompt_are_as_frequent_as_the_rows_say():
    rng = np.random.default_rng(9)
    values = [
        np.exp(min(look.evidence.log_e(look.counts()), 3.0)) for look in (copies(rng) for _ in range(60))
    ]
    assert np.mean(values) < 1
    look = copies(rng, more=0.4)
    assert look.evidence.log_e(look.counts()) > 10
    assert sum(copies(rng).counts().sum() for _ in range(3)) > 3 * 150 * 0.8
