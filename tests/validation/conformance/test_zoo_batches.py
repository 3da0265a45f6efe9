"""The zoo's steps in batches, under seeds, and at edges: where single rows are right and the whole is not."""

import importlib.util

import numpy as np
import pytest
from specsim_tests_zoo import (
    CONTROLS,
    EVERY,
    MUTANTS,
    RUNS,
    K,
    V,
    agrees,
    of,
    texts,
    verify,
)

from benchmarks.zoo.sampling import draw
from specsim.validation.conformance.instances import tree_instance
from specsim.validation.conformance.rules import lossless


@pytest.fixture(scope="module")
def tree():
    return tree_instance(11, vocabulary=V, draft_length=K)


def mixed_batch(subject, seed=1, runs=RUNS, **options):
    """Verify rows of two instances in turns; return instances, which, tokens, lengths."""
    pair = [tree_instance(21 + i, vocabulary=V, draft_length=K) for i in range(2)]
    which = np.arange(runs) % 2
    rng = np.random.default_rng([4, seed])
    drafted = np.empty((runs, K), dtype=np.int64)
    target, draft = np.empty((runs, K + 1, V)), np.empty((runs, K, V))
    for i, instance in enumerate(pair):
        drafted[which == i] = instance.draw_drafted(rng, int((which == i).sum()))
        target[which == i], draft[which == i] = instance.rows(drafted[which == i])
    if "draft_lengths" in options:
        behind = np.arange(K) >= options["draft_lengths"][:, None]
        drafted[behind], draft[behind], target[:, 1:][behind] = -1, 0.0, 0.0
    return pair, which, *verify(subject, target, draft, drafted, seed, **options)


def mixed_agrees(subject, **options):
    pair, which, tokens, lengths = mixed_batch(subject, **options)
    found = True
    for i, instance in enumerate(pair):
        rows = which == i
        decision = agrees(texts(instance, tokens[rows], lengths[rows]), instance.target_law(K + 1))
        found &= decision.agrees
    return found


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in of(MUTANTS, "step")
        # One row of thousands shows in small batches only.
        if "batch-rows" in MUTANTS[name].killed_by and name != "first-row-has-the-last-draft"
    ],
)
def test_rows_of_other_requests_deviate(name):
    assert not mixed_agrees(MUTANTS[name].subject)


@pytest.mark.parametrize("name", ["ratio", "one-hot", "block", "coins-follow-batch", "torch-ratio"])
def test_controls_are_right_in_mixed_batches(name):
    assert mixed_agrees(CONTROLS[name].subject)


@pytest.mark.parametrize("name", ["ratio", "one-hot"])
def test_controls_are_right_in_ragged_batches(name):
    ragged = np.arange(RUNS) % 6 % 3
    _, _, _, lengths = mixed_batch(CONTROLS[name].subject, draft_lengths=ragged)
    assert (lengths <= ragged + 1).all()
    assert mixed_agrees(CONTROLS[name].subject, draft_lengths=ragged)


@pytest.mark.parametrize(
    "name", [name for name in of(MUTANTS, "step") if "ragged" in MUTANTS[name].killed_by]
)
def test_ragged_mutants_go_wrong_in_ragged_batches_only(name):
    ragged = np.arange(RUNS) % 6 % 3
    _, _, tokens, lengths = mixed_batch(MUTANTS[name].subject, draft_lengths=ragged)
    emitted = np.arange(K + 1) < lengths[:, None]
    broken = (lengths > ragged + 1).any() or (tokens[emitted] < 0).any()
    assert broken or not mixed_agrees(MUTANTS[name].subject, draft_lengths=ragged)
    assert mixed_agrees(MUTANTS[name].subject)


def neighbours(subject, instance, seed, size=4000):
    """Return the outcomes of even and odd rows of a batch, all with the same inputs."""
    drafted = np.repeat(instance.paths[6:7], size, axis=0)
    tokens, lengths = verify(subject, *instance.rows(drafted), drafted, seed)
    cells = (lengths - 1) * V + tokens[np.arange(size), lengths - 1]
    return cells[0::2], cells[1::2]


@pytest.mark.parametrize(
    "name", ["one-coin-per-batch", "last-draw-per-batch", "paired-rows", "ratio", "coins-by-row"]
)
def test_rows_of_a_batch_are_independent_or_not(name, tree):
    item = EVERY[name]
    # Many small batches, so that coins shared by a whole batch show as equal rows.
    pairs = [neighbours(item.subject, tree, seed, size=2) for seed in range(1000)]
    first, second = (np.concatenate([pair[i] for pair in pairs]) for i in range(2))
    rule = lossless.RATIO
    target, draft = (rows[0] for rows in tree.rows(tree.paths[6:7]))
    law = rule.law(target, draft, tree.paths[6]).ravel()
    decision = agrees(first * law.size + second, np.outer(law, law).ravel())
    assert decision.agrees == (name in CONTROLS)


def test_seeds_are_used(tree):
    drafted = tree.draw_drafted(np.random.default_rng(0), 50)
    rows = tree.rows(drafted)
    for name in of(EVERY, "step"):
        subject = EVERY[name].subject
        if subject.framework == "torch" and importlib.util.find_spec("torch") is None:
            continue
        first, again, other = (
            np.stack(_emitted(verify(subject, *rows, drafted, seed))) for seed in (7, 7, 8)
        )
        assert np.array_equal(first, again) == (name not in ("unseeded", "generators-by-turns")), name
        assert np.array_equal(first, other) == (name in ("seed-ignored", "silently-greedy")), name


def _emitted(result):
    tokens, lengths = result
    return [*np.where(np.arange(K + 1) < lengths[:, None], tokens, -1).T.tolist(), lengths.tolist()]


def test_coins_by_row_make_a_row_independent_of_the_rest(tree):
    drafted = tree.draw_drafted(np.random.default_rng(0), 40)
    target, draft = tree.rows(drafted)
    whole = verify(CONTROLS["coins-by-row"].subject, target, draft, drafted)
    part = verify(CONTROLS["coins-by-row"].subject, target[:9], draft[:9], drafted[:9])
    assert np.array_equal(whole[0][:9], part[0])
    moved = verify(CONTROLS["coins-follow-batch"].subject, target[::-1], draft[::-1], drafted[::-1])
    assert not np.array_equal(
        moved[0][::-1], verify(CONTROLS["coins-follow-batch"].subject, target, draft, drafted)[0]
    )


# Edges.


def test_a_coin_of_zero_accepts_no_mass_in_the_mutant_only():
    target = np.array([[[0.0, 0.5, 0.5], [0.2, 0.3, 0.5]]])
    draft = np.array([[[0.5, 0.5, 0.0]]])
    drafted = np.array([[0]])
    coins = np.array([[0.0, 0.5]])
    for name, length in (("coin-zero-accepts", 2), ("ratio", 1), ("one-hot", 1)):
        _, lengths = verify(EVERY[name].subject, target, draft, drafted, coins=coins)
        assert lengths.tolist() == [length]


def test_a_coin_below_one_draws_the_last_token_of_mass_but_in_the_mutant():
    target = np.array([[[0.25, 0.75, 0.0], [0.25, 0.75, 0.0]]])
    draft = np.array([[[0.5, 0.5, 0.0]]])
    largest = float(np.nextafter(1.0, 0.0))
    for drafted, coin in ((1, 0.0), (0, largest)):
        coins = np.array([[coin, largest]])
        for name, last in (("last-id-at-one", 2), ("ratio", 1)):
            tokens, lengths = verify(EVERY[name].subject, target, draft, np.array([[drafted]]), coins=coins)
            assert tokens[0, lengths[0] - 1] == last


def test_draws_never_fall_behind_the_last_token_of_mass():
    rows = np.array([[0.3, 0.2, 0.0], [0.0, 0.0, 0.1], [0.5, 0.0, 0.0]])
    assert draw(rows, np.full(3, 1.0)).tolist() == [1, 2, 0]
    assert draw(rows, np.zeros(3)).tolist() == [0, 2, 0]


def test_typical_acceptance_on_flat_rows():
    rows = np.array([0.2, *[0.1] * 7, 0.05, 0.03, 0.01, 0.01])
    drafted = np.arange(12)[:, None]
    target, draft = np.broadcast_to(rows, (12, 2, 12)), np.full((12, 1, 12), 1 / 12)
    for name in ("typical", "declared-typical"):
        _, lengths = verify(EVERY[name].subject, target, draft, drafted)
        law = EVERY[name].subject.rule or EVERY[name].law
        assert ((lengths == 2) == (law.law(target, draft, drafted)[:, 1].sum(axis=1) == 1)).all()


def test_rows_that_are_not_finite():
    target = np.array([[[0.0, 0.5, 0.5], [0.0, 0.5, 0.5]]])
    draft = np.array([[[0.4, 0.3, 0.3]]])
    broken = np.full_like(draft, np.nan)
    tokens, _ = verify(MUTANTS["nan-draft-token-0"].subject, target, broken, np.array([[0]]))
    assert tokens[0, 0] == 0
    tokens, lengths = verify(MUTANTS["nan-target-id-v"].subject, target * np.nan, draft, np.array([[1]]))
    assert tokens[0, lengths[0] - 1] == 3
    for name in ("ratio", "block", "match", "one-hot", "ratio-from-logits", "torch-ratio"):
        with pytest.raises(ValueError, match=r"not finite|NaN"):
            verify(CONTROLS[name].subject, target * np.nan, draft, np.array([[1]]))


def test_inputs_are_left_alone_but_by_the_mutants_that_write_to_them(tree):
    drafted = tree.draw_drafted(np.random.default_rng(0), 50)
    target, draft = tree.rows(drafted)
    writers = set()
    for name in of(EVERY, "step"):
        subject = EVERY[name].subject
        if subject.framework != "numpy":
            continue
        given = target.copy(), draft.copy(), drafted.copy()
        subject.run(given[0], None if subject.draft == "never" else given[1], given[2], 1)
        if not all(np.array_equal(*pair) for pair in zip(given, (target, draft, drafted), strict=True)):
            writers.add(name)
    named = {name for name in MUTANTS if "untouched-inputs" in MUTANTS[name].killed_by}
    assert writers == named


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in of(EVERY, "step")
        # One mutant is right where all rows are the same.
        if EVERY[name].subject.draft == "optional" and name != "batch-without-draft-rows"
    ],
)
def test_drafts_without_rows(name, tree):
    item = EVERY[name]
    target, _ = tree.rows(tree.paths)
    # The draft that the target itself would write greedily.
    greedy = (target[:, :K].argmax(axis=-1) == tree.paths).all(axis=1)
    drafted = np.repeat(tree.paths[greedy], RUNS, axis=0)
    target, _ = tree.rows(drafted)
    tokens, lengths = verify(item.subject, target, None, drafted)
    decision = agrees(texts(tree, tokens, lengths), tree.target_law(K + 1))
    assert decision.agrees == (name in CONTROLS)


@pytest.mark.parametrize(
    "name", ["ratio", "one-hot", "match", "block", "one-hot-fallback", "ratio-from-logits"]
)
def test_controls_on_rows_with_zeros_and_on_equal_rows(name):
    rng = np.random.default_rng(8)
    target, draft = np.array([0.0, 0.5, 0.5, 0.0]), np.array([0.5, 0.5, 0.0, 0.0])
    with np.errstate(divide="ignore"):
        for rows in ((target, draft), (target, target), (np.eye(4)[1], draft), (target, np.eye(4)[0])):
            drafted = rng.choice(4, p=rows[1], size=(4000, 1))
            tokens, lengths = verify(
                CONTROLS[name].subject,
                np.broadcast_to(rows[0], (4000, 2, 4)),
                np.broadcast_to(rows[1], (4000, 1, 4)),
                drafted,
            )
            assert agrees(tokens[:, 0], rows[0]).agrees
            if rows[0] is rows[1] and name in ("ratio", "block", "ratio-from-logits"):
                assert (lengths == 2).all()
