"""The constructors: the paper's recovered instance, and that every family is what its name says."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from specsim.errors import InputError, TooLargeError
from specsim.pairs.families import paper_pair, random_pair, random_prefix_pair
from specsim.pairs.row_families import ROW_FAMILIES
from specsim.support.streams import Stream, cut


def distances(pair):
    return 0.5 * np.abs(pair.target - pair.draft).sum(axis=-1)


def plain_rejections(pair):
    """The sum over steps of the expected total variation distance under the target chain (Theorem 1)."""
    law, total = pair.initial, 0.0
    for step in range(pair.horizon):
        rows = pair.target[pair.step_index(step)]
        total += law @ distances(pair)[pair.step_index(step)]
        after = np.zeros(pair.contexts)
        np.add.at(after, pair.next_context, law[:, None] * rows)
        law = after
    return total


def test_paper_pair__is_the_recovered_instance():
    pair = paper_pair(50)
    row = [0.249143, 0.006703, 0.204674, 0.241870, 0.161022, 0.072611, 0.063976]
    assert pair.draft[0, 0] == pytest.approx(row, abs=5e-7)
    assert pair.target[0, 0, 0] == pytest.approx(0.060776, abs=5e-7)
    assert (pair.steps, pair.contexts, pair.tokens, pair.horizon) == (50, 7, 7, 50)
    assert pair.is_markov
    assert pair.name == "paper:50"
    assert np.ptp(pair.initial_weights.astype(np.int64)) <= 1


@pytest.mark.parametrize(("horizon", "printed"), [(50, 16.4049), (100, 33.5348)])
def test_paper_pair__has_the_papers_expected_rejections(horizon, printed):
    assert plain_rejections(paper_pair(horizon)) == pytest.approx(printed, abs=5e-5)


def test_paper_pair__roles_matter_and_each_horizon_is_drawn_afresh():
    pair = paper_pair(50)
    swapped = type(pair).from_probabilities(pair.draft, pair.target, initial=pair.initial)
    assert plain_rejections(swapped) == pytest.approx(16.3960, abs=5e-5)
    # The draft comes first from the generator, so the target starts at another place of it.
    assert (paper_pair(100).draft[:50] == pair.draft).all()
    assert (paper_pair(100).target[:50] != pair.target).any()


def test_identities__are_the_same_on_every_machine():
    assert paper_pair(50).identity.startswith("382c200a64a5")
    found = {
        family: random_pair(contexts=5, horizon=3, family=family, seed=11).identity[:12]
        for family in ROW_FAMILIES
    }
    assert found == {
        "uniform": "e337a99d661d",
        "dirichlet": "e0cf542cb871",
        "perturbed": "0adff146d4ab",
        "near-equal": "9db6249c79f2",
        "sparse": "1db610b53feb",
        "disjoint": "cff30cd31172",
        "equal-rows": "86e887cc474c",
        "peaked": "908d63a1b8b7",
    }


@pytest.mark.parametrize("family", ROW_FAMILIES)
def test_random_pair__is_a_function_of_its_arguments(family):
    pair = random_pair(contexts=4, horizon=3, family=family, seed=1)
    assert pair == random_pair(contexts=4, horizon=3, family=family, seed=1)
    assert pair != random_pair(contexts=4, horizon=3, family=family, seed=2)
    assert pair.target.shape == (3, 4, 4)
    assert pair.is_markov


def test_random_pair__seeds_and_families_share_no_numbers():
    pairs = [random_pair(contexts=3, horizon=2, family="uniform", seed=seed) for seed in range(50)]
    assert len({pair.identity for pair in pairs}) == 50
    tables = [table.tobytes() for pair in pairs for table in (pair.target, pair.draft)]
    assert len(set(tables)) == 100


@pytest.mark.parametrize("concentration", [0.05, 0.5, 1.0, 4.0, 300.0])
def test_dirichlet__has_the_moments_of_its_concentration(concentration):
    pair = random_pair(contexts=4, horizon=4000, family="dirichlet", seed=5, concentration=concentration)
    variance = (1 / 4) * (3 / 4) / (4 * concentration + 1)
    for table in (pair.target, pair.draft):
        error = np.sqrt(variance / (4 * 4000))
        assert np.abs(table.mean(axis=(0, 1)) - 1 / 4).max() < 5 * error
        assert table.var() == pytest.approx(variance, rel=0.05)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.integers(2, 9), st.floats(0.0, 0.5))
def test_perturbed__has_the_distance_that_was_asked_for(seed, tokens, tv):
    # A row of two uniforms has an entry of at most 1/2, so that a distance up to 1/2 is attainable.
    pair = random_pair(contexts=3, tokens=tokens, horizon=2, family="perturbed", seed=seed, tv=tv)
    assert np.abs(distances(pair) - tv).max() <= tokens * 2.0**-32


def test_perturbed__distance_beyond_reach_is_refused():
    with pytest.raises(InputError, match=r"tv is 0.99, but .* give a smaller tv or more tokens"):
        random_pair(contexts=2, horizon=4, family="perturbed", seed=1, tv=0.99)


def test_perturbed__moves_the_most_that_a_row_allows():
    target = random_pair(contexts=5, horizon=1, family="perturbed", seed=3, tv=0.0).target[0]
    most = float(1 - target.min(axis=-1).max()) - 1e-9
    pair = random_pair(contexts=5, horizon=1, family="perturbed", seed=3, tv=most)
    assert distances(pair) == pytest.approx(np.full((1, 5), most), abs=1e-8)


def test_near_equal__is_near_and_not_equal():
    near = distances(random_pair(contexts=8, horizon=20, family="near-equal", seed=1))
    assert 0 < near.min() <= near.max() < 1.1e-6
    chosen = distances(random_pair(contexts=8, horizon=20, family="near-equal", seed=1, tv=1e-4))
    assert chosen == pytest.approx(np.full(chosen.shape, 1e-4), abs=1e-8)


@pytest.mark.parametrize("density", [0.01, 0.3, 1.0])
def test_sparse__has_zeros_of_the_density_in_both_tables(density):
    pair = random_pair(contexts=10, horizon=200, family="sparse", seed=2, density=density)
    expected = density + (1 - density) ** 10 / 10
    for table in (pair.target, pair.draft):
        assert (table > 0).mean() == pytest.approx(expected, abs=0.02)
    if density < 1:
        assert ((pair.target > 0) != (pair.draft > 0)).any()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(2, 9))
def test_disjoint__no_token_is_in_both_supports(seed, tokens):
    pair = random_pair(contexts=3, tokens=tokens, horizon=2, family="disjoint", seed=seed)
    assert ((pair.target > 0) & (pair.draft > 0)).sum() == 0
    assert distances(pair).tolist() == [[1.0] * 3] * 2


def test_disjoint__splits_differ_in_size():
    pair = random_pair(contexts=6, horizon=50, family="disjoint", seed=1)
    assert set((pair.target > 0).sum(axis=-1).ravel().tolist()) == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(("density", "equal"), [(0.001, 1), (0.5, 10), (0.999, 19), (1.0, 20)])
def test_equal_rows__some_rows_are_equal_to_the_last_bit(density, equal):
    pair = random_pair(contexts=4, horizon=5, family="equal-rows", seed=1, density=density)
    assert (pair.target_weights == pair.draft_weights).all(axis=-1).sum() == equal


def test_peaked__is_concentrated_and_mostly_agrees():
    pair = random_pair(contexts=8, horizon=100, family="peaked", seed=1)
    flat = random_pair(contexts=8, horizon=100, family="uniform", seed=1)
    assert pair.target.max(axis=-1).mean() > 2 * flat.target.max(axis=-1).mean()
    assert (pair.target.argmax(axis=-1) == pair.draft.argmax(axis=-1)).mean() > 0.6


def test_random_pair__options():
    pair = random_pair(contexts=3, tokens=5, horizon=4, seed=1, stationary=True, initial="point")
    assert pair.stationary
    assert pair.next_context.shape == (3, 5)
    assert set(pair.next_context.ravel().tolist()) == {0, 1, 2}
    assert pair.initial.tolist() == [1.0, 0.0, 0.0]
    random = random_pair(contexts=3, horizon=4, seed=1, initial="random")
    assert len(set(random.initial.tolist())) == 3
    given_law = random_pair(contexts=3, horizon=4, seed=1, initial=[0.5, 0.25, 0.25])
    assert given_law.initial.tolist() == [0.5, 0.25, 0.25]
    # The options above must not change the rows.
    assert (random.target == given_law.target).all()


@pytest.mark.parametrize("family", ROW_FAMILIES)
def test_random_prefix_pair__is_a_tree(family):
    pair = random_prefix_pair(tokens=3, horizon=3, family=family, seed=1)
    assert (pair.contexts, pair.tokens, pair.horizon, pair.stationary) == (13, 3, 3, True)
    assert pair.initial.tolist() == [1.0] + [0.0] * 12
    inner, deepest = pair.next_context[:4], pair.next_context[4:]
    assert inner.ravel().tolist() == list(range(1, 13))
    assert (deepest == 0).all()


def test_random_prefix_pair__of_one_token_is_a_path():
    pair = random_prefix_pair(tokens=1, horizon=4, seed=1)
    assert pair.next_context.ravel().tolist() == [1, 2, 3, 0]


BASE = {"contexts": 3, "horizon": 2, "seed": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contexts": 0}, "contexts is 0; give a whole number of at least 1"),
        ({"contexts": 2.5}, "contexts is 2.5"),
        ({"contexts": True}, "contexts is True"),
        ({"tokens": 0}, "tokens is 0"),
        ({"horizon": 0}, "horizon is 0"),
        ({"seed": -1}, "seed is -1; give a whole number of at least 0"),
        ({"seed": "1"}, "seed is '1'"),
        ({"stationary": "yes"}, "stationary is 'yes'; give True or False"),
        ({"family": "normal"}, "family is 'normal'; give one of uniform, dirichlet"),
        ({"initial": "first"}, "initial is 'first'; give uniform, random, point"),
        ({"initial": [0.5, 0.5]}, r"initial has shape \(2,\)"),
        ({"initial": object()}, "initial is <object"),
        ({"tv": 0.1}, "tv is 0.1, but family uniform does not take it; leave it out or choose perturbed or"),
        ({"family": "dirichlet", "concentration": 0}, "concentration is 0; give a finite number above 0"),
        ({"family": "dirichlet", "concentration": np.inf}, "concentration is inf"),
        ({"family": "perturbed", "tv": 1.5}, "tv is 1.5; give a finite number from 0 to 1"),
        ({"family": "perturbed", "tv": "0.1"}, "tv is '0.1'; give a number"),
        ({"family": "sparse", "density": 0}, "density is 0; give a finite number above 0, at most 1"),
        ({"family": "sparse", "density": 2}, "density is 2"),
        ({"family": "sparse", "density": np.nan}, "density is nan"),
        ({"family": "disjoint", "contexts": 1}, "tokens is 1; disjoint supports need at least 2 tokens"),
    ],
)
def test_random_pair__refuses_in_one_line(options, message):
    with pytest.raises(InputError, match=message) as caught:
        random_pair(**{**BASE, **options})
    assert "\n" not in str(caught.value)


def test_too_large__says_so_before_anything_is_allocated():
    with pytest.raises(TooLargeError, match=r"the tables of 10000000 x 7 x 7 .* take 7840000392 bytes"):
        paper_pair(10**7)
    with pytest.raises(TooLargeError, match="take 240000000000 bytes, more than 4294967296; give fewer"):
        random_pair(contexts=10**5, horizon=1, seed=1)
    with pytest.raises(TooLargeError, match="give fewer tokens or a shorter horizon"):
        random_prefix_pair(tokens=10, horizon=10**9, seed=1)
    with pytest.raises(TooLargeError, match=r"take \d+ bytes, more than"):
        random_prefix_pair(tokens=10, horizon=11, seed=1)


def test_stream__labels_and_seeds_name_independent_sequences():
    first = Stream(1, "a").uniforms(1000)
    assert (first == Stream(1, "a").uniforms(1000)).all()
    assert (first != Stream(1, "b").uniforms(1000)).all()
    assert (first != Stream(2, "a").uniforms(1000)).all()
    assert ((first > 0) & (first < 1)).all()
    # The words of PCG64 for this seed; numpy promises never to change them.
    assert Stream(1, "a").uniforms(1)[0].hex() == "0x1.bdc56fdb9f24ep-2"


def test_stream__orders_are_permutations_of_every_kind():
    orders = Stream(3, "x").orders(600, 3)
    kinds, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(kinds) == 6
    assert counts.min() > 60


def test_cut__hides_the_last_bits():
    values = np.array([1 / 3, 1e-300 / 7, 5.0])
    near = np.nextafter(values, 1.0)
    assert (cut(values) == cut(near)).all()
    assert (np.abs(cut(values) / values - 1) <= 2.0**-24).all()
    assert cut(np.zeros(1)).tolist() == [0.0]
