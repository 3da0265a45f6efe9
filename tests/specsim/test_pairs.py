"""`ModelPair`: what it refuses, how it rounds, and that it cannot change."""

import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from specsim.errors import InputError
from specsim.pairs import UNIT, ModelPair, round_to_units

ROWS = np.array([[0.5, 0.5], [0.25, 0.75]])
HALF = np.array([0.5, 0.5])


def build(target=ROWS, draft=ROWS, **options):
    options = {"initial": HALF, "horizon": 3, **options}
    return ModelPair.from_probabilities(target, draft, **options)


def changed(index, value):
    rows = ROWS.copy()
    rows[index] = value
    return rows


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": changed((0, 1), 0.4)}, r"target\[0, 0\] sums to 0.9, not 1 .* divide the row by its sum"),
        ({"draft": changed((1, 0), -0.25)}, r"draft\[0, 1, 0\] is -0.25; probabilities must not be negative"),
        ({"draft": changed((1, 0), np.nan)}, r"draft\[0, 1, 0\] is nan; probabilities must be finite"),
        ({"target": changed((0, 0), np.inf)}, r"target\[0, 0, 0\] is inf; probabilities must be finite"),
        ({"initial": [0.5, 0.6]}, r"initial sums to 1.1, not 1"),
        ({"initial": [1.5, -0.5]}, r"initial\[1\] is -0.5; probabilities must not be negative"),
        ({"initial": [1.0]}, r"initial has shape \(1,\); give one probability per context: \(2,\)"),
        ({"target": [0.5, 0.5]}, r"target has shape \(2,\); give \(steps, contexts, tokens\)"),
        ({"target": [["a", "b"]]}, r"target is not an array of real numbers"),
        ({"target": [[0.5, 0.5], [1.0]]}, r"target is not an array of real numbers"),
        ({"target": np.zeros((0, 2))}, r"target is empty"),
        ({"draft": np.full((3, 3), 1 / 3)}, r"draft has shape \(1, 3, 3\) and target \(1, 2, 2\)"),
        ({"horizon": None}, r"horizon is missing; a stationary pair needs horizon="),
        ({"horizon": 0}, r"horizon is 0; give a whole number from 1"),
        ({"horizon": 2**24}, r"horizon is 16777216; give a whole number from 1 to 16777215"),
        ({"horizon": 2.5}, r"horizon is 2.5; give a whole number"),
        ({"horizon": True}, r"horizon is True; give a whole number"),
        ({"next_context": [[0, 1]]}, r"next_context has shape \(1, 2\); give \(2, 2\)"),
        ({"next_context": [[0, 1], [0, 2]]}, r"next_context\[1, 1\] is 2; give contexts from 0 to 1"),
        ({"next_context": [[0, -1], [0, 1]]}, r"next_context\[0, 1\] is -1; give contexts from 0 to 1"),
        ({"next_context": [[0.0, 1.0], [0.0, 1.0]]}, r"next_context has dtype float64; give integers"),
        ({"tolerance": 0.5}, r"tolerance is 0.5; give a number in \[0, 0.5\)"),
        ({"token_names": ["a"]}, r"token_names has 1 entries \(1 distinct\); give 2 distinct names"),
        ({"token_names": ["a", "a"]}, r"token_names has 2 entries \(1 distinct\); give 2 distinct names"),
    ],
)
def test_from_probabilities__refuses_in_one_line(options, message):
    with pytest.raises(InputError, match=message) as caught:
        build(**options)
    assert "\n" not in str(caught.value)


def test_from_probabilities__contexts_other_than_tokens_need_next_context():
    with pytest.raises(InputError, match="next_context is missing"):
        build(target=np.full((1, 2), 0.5), draft=np.full((1, 2), 0.5), initial=[1.0])


def test_from_probabilities__horizon_beyond_the_steps_is_refused():
    tables = np.stack([ROWS, ROWS])
    assert build(tables, tables, horizon=None).horizon == 2
    with pytest.raises(InputError, match="horizon is 3 but the pair has rows for 2 steps"):
        build(tables, tables, horizon=3)


def test_tolerance__is_the_allowed_distance_of_a_row_sum():
    rows = changed((0, 1), 0.5 + 1e-6)
    with pytest.raises(InputError, match="raise tolerance"):
        build(target=rows)
    assert build(target=rows, tolerance=1e-5).target[0, 0].sum() == 1.0


def test_constructor__is_closed():
    with pytest.raises(TypeError, match="from_probabilities"):
        ModelPair()


def test_pair__cannot_be_changed():
    pair = build()
    with pytest.raises(AttributeError, match="immutable"):
        pair.horizon = 4
    for array in (
        pair.target,
        pair.draft,
        pair.initial,
        pair.next_context,
        pair.target_weights,
        pair.draft_weights,
        pair.initial_weights,
    ):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_pair__does_not_share_memory_with_its_input():
    rows = ROWS.copy()
    pair = build(target=rows)
    rows[0, 0] = 0.9
    assert pair.target[0, 0, 0] == 0.5


def test_rounding__by_largest_remainder():
    # Thirds: 2^32 = 3 * 1431655765 + 1, and the first of equal remainders gets the unit that is left.
    assert round_to_units(np.full((1, 3), 1 / 3)).tolist() == [[1431655766, 1431655765, 1431655765]]
    # Remainders 0.2, 0.7, 0.1 units: the second gets it.
    parts = np.array([2**31 + 0.2, 2**30 + 0.7, 2**30 - 0.9]) / UNIT
    assert round_to_units(parts[None]).tolist() == [[2**31, 2**30 + 1, 2**30 - 1]]


def test_rounding__is_reported():
    tiny = 2.0**-40
    pair = build(target=[[1 - tiny, tiny], [1.0, 0.0]])
    assert (pair.rounding.lost_target, pair.rounding.lost_draft, pair.rounding.lost_initial) == (1, 0, 0)
    assert pair.rounding.largest_change == tiny
    assert pair.target[0, 0].tolist() == [1.0, 0.0]


rows_of_numbers = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(1, 9)),
    elements=st.one_of(st.just(0.0), st.floats(1e-12, 1.0)),
).filter(lambda rows: (rows.sum(axis=-1) > 0).all())


@settings(deadline=None, max_examples=60)
@given(rows_of_numbers)
def test_round_to_units__rows_sum_to_one_zeros_stay_and_nothing_moves_by_two_units(rows):
    rows = rows / rows.sum(axis=-1, keepdims=True)
    weights = round_to_units(rows)
    assert all(sum(row) == UNIT for row in weights.tolist())
    assert (weights[rows == 0] == 0).all()
    assert (np.abs(weights.astype(np.float64) - rows * UNIT) < 2).all()


@settings(deadline=None, max_examples=60)
@given(rows_of_numbers)
def test_round_to_units__keeps_what_is_already_exact(rows):
    once = round_to_units(rows / rows.sum(axis=-1, keepdims=True))
    assert (round_to_units(once / UNIT) == once).all()


@settings(deadline=None, max_examples=30)
@given(rows_of_numbers)
def test_weights__are_the_exact_probabilities(rows):
    rows = rows / rows.sum(axis=-1, keepdims=True)
    contexts, tokens = rows.shape
    pair = build(
        rows,
        rows[::-1],
        initial=np.full(contexts, 1 / contexts),
        next_context=np.zeros((contexts, tokens), dtype=int),
    )
    for table, weights in (
        (pair.target, pair.target_weights),
        (pair.draft, pair.draft_weights),
        (pair.initial, pair.initial_weights),
    ):
        exact = [Fraction(value) for value in table.ravel().tolist()]
        assert exact == [Fraction(weight, UNIT) for weight in weights.ravel().tolist()]
    assert all(sum(map(Fraction, row)) == 1 for row in pair.target[0].tolist())
    assert sum(map(Fraction, pair.initial.tolist())) == 1


def test_identity__depends_on_everything_that_defines_the_laws_and_on_nothing_else():
    pair = build()
    swapped = [[1, 0], [1, 0]]
    others = [
        build(target=ROWS[::-1]),
        build(draft=ROWS[::-1]),
        build(initial=[0.25, 0.75]),
        build(horizon=4),
        build(next_context=swapped),
        build(np.stack([ROWS] * 3), np.stack([ROWS] * 3)),
    ]
    identities = {pair.identity, *(other.identity for other in others)}
    assert len(identities) == 1 + len(others)
    same = build(name="other", token_names=["a", "b"])
    assert same.identity == pair.identity
    assert same == pair
    assert hash(same) == hash(pair)
    assert pair != "pair"


def test_identity__is_fixed_for_all_time():
    # Files and regression tallies carry it.
    assert build().identity == "0a52230b2de45e1d4620c2cbba358b4b9bfc3ba4d75ff001787ac56ffa102769"


def test_pickling__keeps_everything():
    pair = build(target=[[1 - 2.0**-40, 2.0**-40], [1.0, 0.0]], name="a pair", token_names=["a", "b"])
    copy = pickle.loads(pickle.dumps(pair))
    assert copy == pair
    assert (copy.name, copy.token_names, copy.rounding) == (pair.name, pair.token_names, pair.rounding)
    assert not copy.target.flags.writeable


def test_with_horizon__cuts_tables_or_keeps_them():
    tables = np.stack([ROWS, ROWS[::-1], ROWS])
    pair = build(tables, tables)
    shorter = pair.with_horizon(2)
    assert (shorter.steps, shorter.horizon, shorter.stationary) == (2, 2, False)
    assert (shorter.target == pair.target[:2]).all()
    assert shorter.step_index(1) == 1
    with pytest.raises(InputError, match="horizon is 4"):
        pair.with_horizon(4)
    stationary = build().with_horizon(1000)
    assert (stationary.steps, stationary.horizon, stationary.step_index(999)) == (1, 1000, 0)


def test_check_horizon__none_is_the_pairs_own():
    assert build().check_horizon(None) == 3
    assert build().check_horizon(np.int64(7)) == 7
    with pytest.raises(InputError, match="horizon is 0"):
        build().check_horizon(0)


def test_is_markov__means_that_the_context_is_the_previous_token():
    assert build().is_markov
    assert not build(next_context=[[0, 1], [0, 0]]).is_markov
    assert not build(
        target=np.full((1, 2), 0.5),
        draft=np.full((1, 2), 0.5),
        initial=[1.0],
        next_context=np.zeros((1, 2), dtype=int),
    ).is_markov


def test_repr__is_short_and_says_what_it_is():
    assert repr(build(name="mine")) == (
        f"<ModelPair 'mine': 2 contexts, 2 tokens, horizon 3, stationary, {build().identity[:12]}>"
    )


def test_from_logits__is_a_softmax():
    logits = np.log(ROWS)
    pair = ModelPair.from_logits(logits + 800.0, logits - 800.0, initial=HALF, horizon=3)
    assert np.abs(pair.target[0] - ROWS).max() < 2.0**-31
    assert np.abs(pair.draft[0] - ROWS).max() < 2.0**-31
    cold = ModelPair.from_logits(
        logits, logits, initial=HALF, horizon=3, temperature=0.5, draft_temperature=2.0
    )
    # Temperature 1/2 squares the odds of 3, temperature 2 takes their root.
    assert cold.target[0, 1].tolist() == pytest.approx([0.1, 0.9], abs=1e-9)
    assert cold.draft[0, 1, 1] == pytest.approx(3**0.5 / (1 + 3**0.5), abs=1e-9)
    zero = ModelPair.from_logits([[0.0, -np.inf], [0.0, 0.0]], ROWS, initial=HALF, horizon=3)
    assert zero.target[0, 0].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ([[0.0, np.nan], [0.0, 0.0]], {}, r"target\[0, 1\] is nan; give logits below infinity"),
        ([[0.0, np.inf], [0.0, 0.0]], {}, r"target\[0, 1\] is inf; give logits below infinity"),
        ([[-np.inf, -np.inf], [0.0, 0.0]], {}, r"target\[0\] has only logits of minus infinity"),
        ([0.0, 1.0], {}, r"target has shape \(2,\)"),
        ([["a", "b"]], {}, "target is not an array of real numbers"),
        (ROWS, {"temperature": 0}, "temperature is 0; give a finite number above 0"),
        (ROWS, {"temperature": np.inf}, "temperature is inf; give a finite number above 0"),
        (ROWS, {"temperature": "hot"}, "temperature is 'hot'; give a finite number above 0"),
        (ROWS, {"draft_temperature": -1.0}, "draft_temperature is -1.0; give a finite number above 0"),
    ],
)
def test_from_logits__refuses(target, options, message):
    with pytest.raises(InputError, match=message):
        ModelPair.from_logits(target, ROWS, initial=HALF, horizon=3, **options)


class TestInitial:
    """The first context's law by name."""

    def test_uniform_is_the_default(self):
        pair = ModelPair.from_probabilities(np.eye(4), np.eye(4), horizon=2)
        assert pair.initial.tolist() == [0.25] * 4

    def test_stationary(self):
        target = [[0.9, 0.1], [0.2, 0.8]]
        pair = ModelPair.from_probabilities(target, target, initial="stationary", horizon=2)
        np.testing.assert_allclose(pair.initial, [2 / 3, 1 / 3], atol=1e-9)

    def test_stationary__contexts_that_are_left_have_nothing(self):
        target = [[0.5, 0.5, 0], [0.5, 0.5, 0], [1, 0, 0]]
        pair = ModelPair.from_probabilities(target, target, initial="stationary", horizon=2)
        assert pair.initial.tolist() == [0.5, 0.5, 0]

    @pytest.mark.parametrize(
        ("target", "initial", "message"),
        [
            (np.eye(2), "stationary", "several stationary laws"),
            (np.ones((3, 2, 2)) / 2, "stationary", "rows depend on the step"),
            (np.eye(2), "first", "give 'uniform', 'stationary', or one probability per context"),
        ],
    )
    def test_bad(self, target, initial, message):
        with pytest.raises(InputError, match=message):
            ModelPair.from_probabilities(target, target, initial=initial, horizon=2)
