from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from specsim.engines.compiled.sampling import below, draw, draw_residuals, passes
from specsim.engines.lockstep import tables
from specsim.pairs import round_to_units

UNIT = 2**32

weight_rows = st.lists(
    st.one_of(st.just(0), st.just(1), st.integers(0, 2**20)), min_size=1, max_size=40
).filter(sum)


@pytest.fixture(scope="module")
def draw_residual(compiled):
    """Draw one token for a run by a word; returns the token and the status."""
    return lambda layout, run, word: _draw_residual(compiled(draw_residuals), layout, run, word)


def _draw_residual(draw_residuals, layout, run, word):
    bits = np.uint64(tables.guide_bits(layout.end.shape[1]))
    halves = [np.array([half], np.uint32) for half in (word >> 32, word & 0xFFFFFFFF)]
    token = np.full(1, 99, np.uint32)
    status = draw_residuals(
        layout.end,
        layout.guide,
        bits,
        np.zeros(1, np.uint32),
        *halves,
        *map(np.uint64, (1, run)),
        np.zeros(1, np.uint32),
        *map(np.uint64, (3, 0)),
        token,
    )
    return int(token[0]), status


def draft_row(weights):
    """Weights scaled to sum to 2^32, zeros kept."""
    return round_to_units(np.array([weights], float) / sum(weights))


@settings(deadline=None, max_examples=60)
@given(weight_rows)
def test_draw__finds_the_segment_of_every_edge_word(compiled, weights):
    row = draft_row(weights)
    find = compiled(draw)
    layout = tables.segments(row)
    shift = np.uint64(32 - tables.guide_bits(row.shape[1]))
    start = 0
    for token, weight in enumerate(row[0].tolist()):
        for offset in {0, 1, weight // 2, weight - 1} if weight else ():
            if 0 <= offset < weight:
                got = find(layout.last, layout.guide, shift, np.uint64(0), np.uint64(start + offset))
                assert (int(got[0]), int(got[1])) == (token, offset)
        start += weight
    assert start == UNIT


@settings(deadline=None, max_examples=60)
@given(weight_rows, st.sampled_from([1, 3, 2**20, 2**40 - 1]))
def test_draw_residual__maps_every_edge_number_to_its_token(draw_residual, weights, scale):
    row = np.array([weights], dtype=np.uint64) * np.uint64(scale)
    total = int(row.sum(dtype=object))
    if total >= 2**63:
        return
    layout = tables.residuals(row)
    start = 0
    for token, weight in enumerate(row[0].tolist()):
        for number in {start, start + weight // 2, start + weight - 1} if weight else ():
            # The last word that maps to the number is always kept.
            word = ((number + 1) * 2**64 - 1) // total
            assert draw_residual(layout, 2, word) == (token, 0)
        start += weight


def test_draw_residual__empty_row_is_reported(draw_residual):
    layout = tables.residuals(np.zeros((1, 4), np.uint64))
    assert draw_residual(layout, 2, 9)[1] == 1


@pytest.mark.parametrize("bound", [1, 2, 3, 7, 2**31 + 1, 2**32, 2**62, 3 * 2**61, 2**63 - 1])
def test_below__equals_integer_arithmetic(compiled, bound):
    generator = np.random.default_rng(bound % 1000)
    inputs = [0, 1, 2**64 - 1, 2**63, *map(int, generator.integers(0, 2**64, 200, dtype=np.uint64))]
    # Words around the border between kept and dropped ones.
    inputs += [
        (k * 2**64 + extra) // bound for k in (1, bound // 2, bound - 1) for extra in (0, bound, 2 * bound)
    ]
    for word in inputs:
        word %= 2**64
        number, kept = compiled(below)(np.uint64(word), np.uint64(bound))
        assert int(number) == word * bound >> 64
        assert bool(kept) == (word * bound % 2**64 >= 2**64 % bound)


def test_draw_residual__retries_are_fresh_and_exact(compiled, draw_residual):
    # A total just above 2^62 drops a quarter of all words, so retries happen in nearly every test below.
    row = np.array([[2**61, 0, 2**61 + 1]], np.uint64)
    layout = tables.residuals(row)
    total = int(row.sum())
    counts = np.zeros(3, int)
    for run in range(4000):
        # A word that is certainly dropped: low part 0.
        token, status = draw_residual(layout, run, 0)
        assert status == 0
        counts[token] += 1
    assert not compiled(below)(np.uint64(0), np.uint64(total))[1]
    assert counts[1] == 0
    # Hoeffding: exceeded with probability below 2e-9.
    assert abs(counts[0] / 4000 - 0.5) < np.sqrt(np.log(1e9) / 8000)


def test_thresholds__are_exact():
    draft = np.array([[2**32, 0, 1, 2**31]], np.uint64)
    target = np.array([[2**31, 5, 2**32, 2**31 - 1]], np.uint64)
    got = tables.ratio_thresholds(target, draft).tolist()[0]
    assert got == [2**62, 0, 2**31, (2**31 - 1) * 2**31]
    lifted = tables.ratio_thresholds(target, draft, Fraction(1, 4)).tolist()[0]
    assert lifted == [2**62 + 2**61, 0, 2**31, 2**62]
    assert tables.ratio_thresholds(target, draft, 7).tolist()[0] == [2**63, 0, 2**31, 2**62]


@settings(deadline=None, max_examples=100)
@given(st.floats(0, 1), st.integers(0, 2**32))
def test_acceptance_thresholds__agree_for_floats_and_fractions(acceptance, weight):
    draft = np.array([[weight]], np.uint64)
    exact = int(Fraction(acceptance) * weight * 2**31)
    as_fraction = tables.acceptance_thresholds(np.array([[Fraction(acceptance)]], object), draft)
    as_float = tables.acceptance_thresholds(np.array([[acceptance]]), draft)
    assert int(as_fraction[0, 0]) == exact
    # Floats below 2^-10 may have bits beyond 2^-63.
    assert 0 <= exact - int(as_float[0, 0]) <= (0 if acceptance >= 2**-10 else 1)


def test_law_weights__keep_small_fractions_exactly():
    rows = np.array(
        [[Fraction(1, 3), Fraction(1, 7), Fraction(11, 21)], [Fraction(1, 2), 0, Fraction(1, 2)]], object
    )
    assert tables.law_weights(rows).tolist() == [[7, 3, 11], [1, 0, 1]]
    assert tables.law_weights(np.array([[0.5, 0.5, 0.0]])).tolist() == [[2**61, 2**61, 0]]


def test_recursive_residuals__fixture_b():
    target = np.array([[0.50, 0.30, 0.15, 0.05]])
    draft = np.array([[0.20, 0.45, 0.10, 0.25]])
    rows = {1: [6 / 7, 0, 1 / 7, 0], 2: [46 / 49, 0, 3 / 49, 0], 3: [1, 0, 0, 0]}
    for count, expected in rows.items():
        thresholds, weights = tables.recursive_residuals(target, draft, count)
        assert np.allclose(weights[0] / 2**62, expected, atol=1e-12)
        assert int(weights.sum()) == 2**62
        current = target[0] if count == 1 else rows[count - 1]
        assert np.allclose(thresholds[0, -1] / 2**63, np.minimum(current, draft[0]), atol=1e-12)


def test_recursive_residuals__equal_rows_always_accept():
    rows = np.array([[0.25, 0.75, 0.0]])
    thresholds, weights = tables.recursive_residuals(rows, rows, 5)
    assert (thresholds == (rows * 2**63).astype(np.uint64)[:, None]).all()
    assert not weights.any()


def test_recursive_residuals__survive_thousands_of_subtractions_and_tiny_differences():
    unit = 2.0**-32
    target = np.array([[0.5 + unit, 0.5 - unit], [0.0, 1.0], [1 / 4, 3 / 4]])
    draft = np.array([[0.5, 0.5], [1.0, 0.0], [1 - unit, unit]])
    _, weights = tables.recursive_residuals(target, draft, 3000)
    assert (weights.sum(axis=1) == 2**62).all()
    assert weights.tolist() == [[2**62, 0], [0, 2**62], [0, 2**62]]


def test_passes__certainties_are_certain(compiled):
    test = compiled(passes)
    ones = np.uint64(2**32 - 1)
    # Acceptance 1: the last word of the segment, with any continuation, is taken; acceptance 0: never.
    for weight in (1, 2**31, 2**32):
        assert test(np.uint64(weight - 1), ones, np.uint64(weight << 31))
        assert not test(np.uint64(0), np.uint64(0), np.uint64(0))
    # The continuation decides where the offset alone cannot.
    assert test(np.uint64(3), np.uint64(1), np.uint64((3 << 31) + 1))
    assert not test(np.uint64(3), np.uint64(2), np.uint64((3 << 31) + 1))
