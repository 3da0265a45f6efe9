"""Draws of the literal engine: exact on their tables, and never a token of weight 0."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from specsim.engines.literal import drawing, engine, helpers
from specsim.engines.literal.drawing import draw_row, draw_untried, words
from specsim.pairs import UNIT, round_to_units

COINS = st.one_of(st.sampled_from([0.0, 2.0**-53, 0.5, 1 - 2.0**-53]), st.floats(0, 1, exclude_max=True))


@st.composite
def rows(draw, least=1, most=12):
    """A row of multiples of 2^-32 that sum to 1, some of them 0."""
    size = draw(st.integers(least, most))
    some = st.one_of(st.just(0.0), st.floats(0, 1), st.floats(0, 1e-9))
    weights = draw(st.lists(some, min_size=size, max_size=size))
    weights[draw(st.integers(0, size - 1))] = 1.0
    return round_to_units(np.array(weights) / sum(weights)) / UNIT


def step_of(target, draft, coin=0.5, profile=False):
    """A step with one row, as kernels see it."""
    target, draft = np.atleast_2d(target), np.atleast_2d(draft)
    return SimpleNamespace(
        target=target,
        draft=draft,
        row=np.zeros(64, np.int64),
        parent=np.zeros(64, np.int64),
        first=np.array([1, 64]),
        token=np.zeros(64, np.int64),
        coin=np.full(64, coin),
        key=np.array([3, 2**40 + 5, 7], np.uint64),
        table=engine.table((target * UNIT).astype(np.uint64)),
        profile=engine.profile(target, draft) if profile else np.zeros((0, 3, 1)),
    )


@given(rows(), COINS)
def test_draw_weights__never_a_token_without_weight(row, coin):
    assert row[helpers.draw_weights(row, coin)] > 0


@given(st.lists(st.sampled_from([0.0, 5e-324, 1e-300, 1.0, 1e300]), min_size=1, max_size=6), COINS)
def test_draw_weights__of_any_size(weights, coin):
    found = helpers.draw_weights(np.array(weights), coin)
    assert weights[found] > 0 if any(weights) else found == -1


@given(rows(), st.data(), COINS, st.floats(0, 1))
def test_draw_excess__never_a_token_without_excess(target, data, coin, scale):
    draft = data.draw(rows(len(target), len(target)))
    found = helpers.draw_excess(step_of(target, draft, coin), 0, scale)
    left = scale * target - draft
    assert left[found] > 0 if (left > 0).any() else found == -1


@settings(max_examples=20)
@given(st.integers(0, 2**32), COINS, st.sampled_from([1.0, 0.9, 0.5, 0.0]))
def test_wide_excess__thinned_draws_and_profiles(seed, coin, scale):
    generator = np.random.default_rng(seed)
    sparse = generator.dirichlet(np.full(helpers.WIDE, 0.1), 2)
    target, draft = round_to_units(np.where(sparse < 1e-4, 0, sparse)) / UNIT
    step = step_of(target, draft, coin, profile=True)
    mass = helpers.excess(step, 0, scale)
    assert mass == pytest.approx(np.maximum(scale * target - draft, 0).sum(), abs=1e-12)
    found = helpers.draw_excess(step, 0, scale)
    assert (scale * target - draft)[found] > 0 if mass > 0 else found == -1


def test_thinned_draws__have_the_law_of_the_scan():
    generator = np.random.default_rng(2)
    target, draft = round_to_units(np.repeat(generator.dirichlet(np.ones(8), 2), 32, axis=1) / 32) / UNIT
    step = step_of(target, draft)
    counts = np.zeros(256, np.int64)
    for run in range(4000):
        step.key[1] = run
        counts[helpers.draw_excess(step, 0, 0.9)] += 1
    law = np.maximum(0.9 * target - draft, 0)
    from specsim.validation.statistics.multinomial import decide_law_by_cells_and_entropy

    groups, law = counts.reshape(8, 32).sum(axis=1), law.reshape(8, 32).sum(axis=1)
    assert decide_law_by_cells_and_entropy(
        counts=groups, runs=4000, probabilities=law / law.sum(), alpha=1e-9
    ).agrees


@given(rows())
def test_draw_row__every_segment_is_as_long_as_its_weight(row):
    weights = (row * UNIT).astype(np.uint64)
    table = engine.table(weights[None])
    end = 0
    for token, weight in enumerate(map(int, weights)):
        if weight:
            for word in {end, end + weight // 2, end + weight - 1}:
                assert draw_row(table, 0, np.uint64(word)) == token
        end += weight


@given(rows(2, 9), st.integers(0, 2**64 - 1), st.data())
def test_draw_untried__only_tokens_that_are_left(row, word, data):
    tried = data.draw(st.lists(st.integers(0, len(row) - 1), unique=True, max_size=len(row) - 1))
    step = step_of(row, row)
    step.token[1 : 1 + len(tried)] = tried
    found = draw_untried(step, step.table, 0, 1 + len(tried), np.uint64(word))
    left = [y for y in range(len(row)) if y not in tried]
    assert found in left
    assert row[found] > 0 or not any(row[y] for y in left)


@pytest.mark.parametrize("weights", [[4, 0, 8, 2, 2], [16, 0, 0, 0, 0], [1, 1, 1, 12, 1]])
@pytest.mark.parametrize("tried", [[], [3], [2, 0], [0, 3]])
def test_draw_untried__by_the_weights_that_are_left(weights, tried):
    """The first and the last number of every token that is left."""
    row = np.array(weights) / 16
    step = step_of(row, row)
    step.token[1 : 1 + len(tried)] = tried
    left = [0 if y in tried else weight for y, weight in enumerate(weights)]
    if not any(left):
        left = [int(y not in tried) for y in range(5)]
    unit = 2**28 if any(weights[y] for y in range(5) if y not in tried) else 1
    total = unit * sum(left)
    place = 0
    for token, weight in enumerate(left):
        for number in {place, place + unit * weight - 1} if weight else ():
            # The words that Lemire's method keeps for this number.
            first = -(-number * 2**32 // total)
            kept = [w for w in (first, first + 1) if (w * total) >> 32 == number]
            kept = [w for w in kept if (w * total) % 2**32 >= 2**32 % total]
            assert draw_untried(step, step.table, 0, 1 + len(tried), np.uint64(kept[0] << 32)) == token
        place += unit * weight


@given(rows(), st.integers(0, 2**20 - 1))
def test_race__never_a_token_without_weight(row, node):
    step = step_of(row, row)
    assert row[helpers.race(step, node, row)] > 0


def test_race__equal_rows_agree_and_order_of_words_is_fixed():
    step = step_of([0.5, 0.25, 0.25], [0.5, 0.25, 0.25])
    drawn = [helpers.race(step, node, step.target[0]) for node in range(200)]
    assert drawn == [helpers.race(step, node, step.draft[0]) for node in range(200)]
    assert {0, 1, 2} == set(drawn)


@given(rows(2, 9), st.data())
def test_untried__is_what_is_left_of_the_draft_row(row, data):
    tried = data.draw(st.lists(st.integers(0, len(row) - 1), unique=True, max_size=len(row) - 1))
    step = step_of(row, row)
    step.token[1 : 1 + len(tried)] = tried
    weights = np.full(len(row), np.nan)
    total = helpers.untried(step, 0, 1 + len(tried), weights)
    left = np.array([0 if y in tried else weight for y, weight in enumerate(row)])
    expected = left if left.any() else np.array([float(y not in tried) for y in range(len(row))])
    assert weights.tolist() == expected.tolist()
    assert total == expected.sum()


def test_words__differ_by_node_block_run_slot_and_seed():
    base = np.array([1, 2, 3], np.uint64)
    keys = [base, *(base + np.eye(3, dtype=np.uint64)[i] for i in range(3))]
    keys.append(np.array([1, 2 + 2**32, 3], np.uint64))
    keys.append(np.array([1 + 2**32, 2, 3], np.uint64))
    found = [
        words(key, node, block)
        for key in keys
        for node in (0, 2**20 - 1)
        for block in (0, 1, 4096, 2**18 - 1)
    ]
    assert len(set(found)) == len(found)


def test_philox__known_answer():
    """The second vector of the reference implementation: all bits set."""
    ones = (np.uint64(0xFFFFFFFF),) * 6
    assert [hex(word) for word in drawing.philox(*ones)] == [
        "0x408f276d",
        "0x41c83b0e",
        "0xa20bc7c6",
        "0x6d5451fd",
    ]
