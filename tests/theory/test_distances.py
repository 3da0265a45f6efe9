"""Distances from the target, and laws of a rule that keeps something from round to round."""

from fractions import Fraction as F

import numpy as np
import pytest

from specsim import Speculative, get_rule, random_pair, theory
from specsim.errors import InputError, TooLargeError, UnsupportedError
from specsim.theory import Laws, RationalPair

THIRDS = RationalPair.independent([F(1, 3), F(2, 3)], [F(2, 3), F(1, 3)], horizon=2)


def test_lossless__is_no_distance_away() -> None:
    pair = random_pair(contexts=3, horizon=3, family="uniform", seed=2)
    assert theory.sequence_distance(pair, Speculative(draft_length=2), exact=True) == 0
    assert (theory.token_distances(pair, Speculative(draft_length=2), exact=True) == 0).all()


def test_distances__are_those_of_the_enumerated_law() -> None:
    wrong = get_rule("block-uncapped-whole")(draft_length=2)
    assert theory.sequence_distance(THIRDS, wrong, exact=True) == F(1, 9)
    assert theory.token_distances(THIRDS, wrong, exact=True).tolist() == [0, F(1, 9)]
    pair = random_pair(contexts=3, horizon=2, family="uniform", seed=5)
    half = get_rule("ensemble")(share=0.5)
    law = theory.enumerate_outcomes(pair, half).output_law()
    expected = abs(law - theory.target_law(pair, exact=True)).sum() / 2
    assert theory.sequence_distance(pair, half, exact=True) == expected
    assert theory.sequence_distance(pair, half) == pytest.approx(float(expected))


def test_kept_coins__first_round_is_right_and_the_next_is_not() -> None:
    pair = RationalPair.independent([F(1, 2), F(3, 10), F(1, 5)], [F(0), F(1), F(0)], horizon=2)
    kept = get_rule("block-kept-coins")(draft_length=2)
    laws = Laws(pair, kept, exact=True)
    assert laws.description == "kept"
    assert laws.token_distances()[0] == 0
    assert laws.sequence_distance() > 0
    assert (laws.output_law() == theory.enumerate_outcomes(pair, kept).output_law()).all()
    assert np.allclose(Laws(pair, kept).output_law(), laws.output_law().astype(float))


def test_kept_coins__large_pairs_and_long_runs_are_refused() -> None:
    kept = get_rule("block-kept-coins")(draft_length=4)
    with pytest.raises(TooLargeError, match="all drafts after all that earlier rounds left"):
        theory.expected_target_calls(random_pair(contexts=20, horizon=20, family="uniform", seed=1), kept)
    stationary = random_pair(contexts=2, horizon=4, family="uniform", seed=1, stationary=True)
    with pytest.raises(UnsupportedError, match="keeps numbers from round to round"):
        theory.stationary_block_efficiency(stationary, get_rule("block-kept-coins")(draft_length=1))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("near-best", {"top": 0}, "top is 0; give a whole number of at least 1"),
        ("near-best", {"top": 1.5}, "top is 1.5; give a whole number"),
        ("lenience", {"lenience": 1.5}, "lenience is 1.5; give a number from 0 to 1"),
        ("ensemble", {"share": F(3, 2)}, "share is 3/2; give a number from 0 to 1"),
        ("typical", {"residual": "draft"}, "give 'target' or 'likeliest'"),
    ],
)
def test_parameters__out_of_range_are_named(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        get_rule(name)(**options)
