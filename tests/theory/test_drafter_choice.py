"""Choosing between drafters: break-even, what printed numbers imply, likelihood."""

import math
from fractions import Fraction

import numpy as np
import pytest

from specsim import InputError, ModelPair, blended_draft, paper_pair, random_pair, theory


def test_break_even__is_where_rounds_take_as_much_longer_as_they_emit_more():
    step = theory.break_even_draft(3, 2, Fraction(1, 10), draft_length=4, exact=True)
    assert step == Fraction(11, 40)
    assert 3 / (4 * step + 1) == 2 / (4 * Fraction(1, 10) + 1)
    # Half the tokens, and a step that hardly costs anything: nothing helps.
    assert theory.break_even_draft(2, 4, 0.01, draft_length=3) < 0


def test_implied_round__solves_for_any_two_drafters():
    length, call = Fraction(5), Fraction(40)
    drafters = [
        (tokens, step, tokens / (length * step + call)) for tokens, step in ((3, 2), (Fraction(7, 2), 7))
    ]
    assert theory.implied_round(*drafters, exact=True) == (length, call)
    assert theory.implied_round(*drafters[::-1], exact=True) == (length, call)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.break_even_draft(0.5, 2, 1, draft_length=1), "tokens is 0.5"),
        (lambda: theory.break_even_draft(2, math.nan, 1, draft_length=1), "other_tokens is nan"),
        (lambda: theory.break_even_draft(2, 2, -1, draft_length=1), "other_draft is -1"),
        (lambda: theory.break_even_draft(2, 2, 1, draft_length=0), "draft_length is 0"),
        (lambda: theory.implied_round((2, 1, 1), (2, 1)), r"second is \(2, 1\)"),
        (lambda: theory.implied_round((2, 1, 0), (2, 2, 1)), "rate of first is 0"),
        (lambda: theory.implied_round((2, 1, 1), (3, 1, 1)), "both take 1"),
        (lambda: theory.draft_log_likelihood(paper_pair(3), horizon=4), "horizon is 4"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_likelihood__is_the_entropy_of_the_target_at_best():
    pair = random_pair(contexts=4, horizon=6, family="dirichlet", seed=2)
    values = [theory.draft_log_likelihood(blended_draft(pair, share)) for share in (0, 0.5, 1)]
    assert values == sorted(values)
    emitted = theory.transition_marginals(pair, "autoregressive")
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nansum(emitted * np.log(pair.target))
    assert values[-1] == pytest.approx(-entropy / 6)
    stationary = random_pair(contexts=3, horizon=6, family="uniform", seed=2, stationary=True)
    assert theory.draft_log_likelihood(stationary, horizon=40) < 0


def test_likelihood__is_minus_infinity_where_the_draft_cannot_follow():
    pair = ModelPair.from_probabilities([[0.5, 0.5]] * 2, [[1.0, 0.0]] * 2, initial=[1, 0], horizon=2)
    assert theory.draft_log_likelihood(pair) == -math.inf
    never = ModelPair.from_probabilities([[1.0, 0.0]] * 2, [[1.0, 0.0]] * 2, initial=[1, 0], horizon=2)
    assert theory.draft_log_likelihood(never) == 0
