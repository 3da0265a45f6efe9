"""Pairs derived from a pair, the costs of a drafter's shape, and times by the size of a vocabulary."""

from fractions import Fraction

import numpy as np
import pytest

from specsim import (
    DrafterCosts,
    InputError,
    ModelPair,
    Speculative,
    blended_draft,
    random_pair,
    restricted_vocabulary,
    theory,
)

PAIR = random_pair(contexts=5, horizon=4, family="dirichlet", seed=3)
SPARSE = ModelPair.from_probabilities(
    [[0.5, 0.5], [0.5, 0.5]], [[1.0, 0.0], [0.25, 0.75]], initial=[1, 0], horizon=2
)


def test_restricted_vocabulary__keeps_the_likeliest_and_renormalises():
    for size in (1, 3, 5):
        narrow = restricted_vocabulary(PAIR, size=size)
        kept = narrow.draft > 0
        assert (kept.sum(axis=-1) == size).all()
        assert (np.where(kept, 2, PAIR.draft).max(axis=-1) == 2).all()
        least = np.where(kept, PAIR.draft, 2).min(axis=-1)
        assert (least >= np.where(kept, -1, PAIR.draft).max(axis=-1)).all()
        mass = np.where(kept, PAIR.draft, 0).sum(axis=-1, keepdims=True)
        assert np.abs(narrow.draft * mass - np.where(kept, PAIR.draft, 0)).max() < 1e-9
        assert np.array_equal(narrow.target, PAIR.target)
    assert restricted_vocabulary(PAIR, size=5) == PAIR


def test_restricted_vocabulary__one_subset_for_all_rows_or_scores():
    alone = restricted_vocabulary(PAIR, size=2, by="global").draft > 0
    assert (alone == alone[0, 0]).all()
    chosen = restricted_vocabulary(PAIR, size=2, by=[0, 5, 1, -np.inf, 5]).draft > 0
    assert (chosen == np.array([0, 1, 0, 0, 1], dtype=bool)).all()
    assert restricted_vocabulary(PAIR, size=2, by=np.log(PAIR.draft)) == restricted_vocabulary(PAIR, size=2)


def test_restricted_vocabulary__noise_is_reproducible_and_changes_the_choice():
    narrow = restricted_vocabulary(PAIR, size=2, noise=1.0, seed=4)
    assert narrow == restricted_vocabulary(PAIR, size=2, noise=1.0, seed=4)
    assert narrow != restricted_vocabulary(PAIR, size=2, noise=1.0, seed=5)
    assert narrow != restricted_vocabulary(PAIR, size=2)


@pytest.mark.parametrize(
    ("pair", "options", "message"),
    [
        (PAIR, {"size": 0}, "size is 0"),
        (PAIR, {"size": 6}, "size is 6"),
        (PAIR, {"size": 2, "by": "frequency"}, "by is 'frequency'"),
        (PAIR, {"size": 2, "by": [1, 2]}, r"by has shape \(2,\)"),
        (PAIR, {"size": 2, "by": [1, 2, 3, 4, np.nan]}, r"by\[4\] is nan"),
        (PAIR, {"size": 2, "by": [1, 2, 3, 4, 5], "noise": 1}, "noise is 1 together with scores"),
        (PAIR, {"size": 2, "noise": -1}, "noise is -1"),
        (PAIR, {"size": 2, "noise": float("nan")}, "noise is nan"),
        (SPARSE, {"size": 1, "by": [0, 1]}, r"draft\[0, 0\] has no probability on the 1 tokens"),
    ],
)
def test_restricted_vocabulary__refuses(pair, options, message):
    with pytest.raises(InputError, match=message):
        restricted_vocabulary(pair, **options)


def test_blended_draft__moves_the_acceptance_in_a_straight_line():
    far, near = (1 - theory.theorem_1_rejections(blended_draft(PAIR, s), horizon=1) for s in (0, 0.75))
    assert near == pytest.approx(1 - (1 - far) / 4, abs=1e-8)
    for share in (-0.1, 1.1, True, "all", float("nan")):
        with pytest.raises(InputError, match="target_share is"):
            blended_draft(PAIR, share)


def test_drafter_costs__add_up():
    costs = DrafterCosts(fixed=0.01, layer=0.02, width=0.001, head=0.4, selection=0.05)
    assert costs.step(depth=3, width=8) == Fraction(1, 100) + 3 * Fraction(28, 1000) + Fraction(4, 10)
    assert costs.step(depth=0, vocabulary=0.25) == Fraction(1, 100) + Fraction(1, 10) + Fraction(5, 100)
    assert costs.clock(depth=0, overhead=0.5).draft == Fraction(41, 100)
    assert costs.clock(depth=0, overhead=0.5).overhead == Fraction(1, 2)
    for options, message in (
        ({"depth": -1}, "depth is -1"),
        ({"width": 0.5}, "width is 0.5"),
        ({"vocabulary": 0}, "vocabulary is 0"),
        ({"vocabulary": 1.5}, "vocabulary is 1.5"),
    ):
        with pytest.raises(InputError, match=message):
            costs.step(**options)
    with pytest.raises(InputError, match="layer is -1"):
        DrafterCosts(layer=-1)


def test_vocabulary_times__are_those_of_the_derived_pairs():
    costs = DrafterCosts(layer=Fraction(1, 10), head=Fraction(1, 2), selection=Fraction(1, 20))
    algorithm = Speculative(draft_length=2)
    found = theory.vocabulary_times(PAIR, algorithm, costs, sizes=[2, 5], exact=True)
    clock = costs.clock(vocabulary=Fraction(2, 5))
    assert clock.draft == Fraction(35, 100)
    narrow = restricted_vocabulary(PAIR, size=2)
    assert found[2] == theory.expected_time(narrow, algorithm, clock, exact=True)
    assert found[5] == theory.expected_time(PAIR, algorithm, costs.clock(), exact=True)


@pytest.mark.parametrize(
    ("tokens", "options", "message"),
    [
        ([2], {}, r"tokens is \[2\], where the draft has probability 0"),
        ([], {}, r"tokens is \[\]"),
        ([3], {}, "tokens is 3"),
        ([0], {"test": "narrow"}, "test is 'narrow'"),
        ([0], {"residual": ""}, "residual is ''"),
    ],
)
def test_restricted_written_law__refuses(tokens, options, message):
    with pytest.raises(InputError, match=message):
        theory.restricted_written_law([0.5, 0.25, 0.25], [0.5, 0.5, 0], tokens, **options)
