"""The brute force itself: hand-made cases, the choice of what is drawn, and limits."""

from __future__ import annotations

import math
from fractions import Fraction as F

import numpy as np
import pytest

from specsim.algorithms import (
    Algorithm,
    Autoregressive,
    Batch,
    BatchAsPrinted,
    BlockVerification,
    OverAcceptance,
    Speculative,
    get_rule,
)
from specsim.errors import InputError, TooLargeError, UnsupportedError
from specsim.pairs import ModelPair
from specsim.theory import RationalPair, enumerate_outcomes, target_law
from specsim.theory.enumeration import Outcome


def small(horizon: int = 2) -> ModelPair:
    target = [[0.5, 0.25, 0.25], [0.25, 0, 0.75], [0.125, 0.5, 0.375]]
    draft = [[0.25, 0.5, 0.25], [0.5, 0.5, 0], [0, 0.25, 0.75]]
    return ModelPair.from_probabilities(target, draft, initial=[0.5, 0.25, 0.25], horizon=horizon)


def test_one_position_by_hand() -> None:
    """D = (3/4, 1/4), T = (1/4, 3/4): accept 0 with 1/3; the residual is the point mass on 1."""
    pair = RationalPair.independent([F(1, 4), F(3, 4)], [F(3, 4), F(1, 4)], horizon=1)
    assert enumerate_outcomes(pair, Speculative()).law == {
        Outcome(path=0, rejected=0, calls=1, accepted_lengths=(1,)): F(1, 4),
        Outcome(path=1, rejected=0, calls=1, accepted_lengths=(1,)): F(1, 4),
        Outcome(path=1, rejected=1, calls=1, accepted_lengths=(0,)): F(1, 2),
    }


def test_bonus_round_by_hand() -> None:
    """Equal rows, one drafted token and a bonus: two calls for three tokens, no rejection."""
    pair = RationalPair.independent([F(1)], [F(1)], horizon=3)
    bonus = enumerate_outcomes(pair, Speculative(draft_length=1))
    assert bonus.law == {Outcome(0, 0, 2, (1, 1)): 1}
    without = enumerate_outcomes(pair, Speculative(draft_length=1, bonus=False))
    assert without.law == {Outcome(0, 0, 3, (1, 1, 1)): 1}
    assert enumerate_outcomes(pair, Speculative(draft_length=3)).law == {Outcome(0, 0, 1, (3,)): 1}
    assert enumerate_outcomes(pair, Autoregressive()).law == {Outcome(0, 0, 3, (0, 0, 0)): 1}


def test_numbering_of_paths_and_masks() -> None:
    """The draft always proposes 0, the target emits 1 then 2: both rejected, the first token leads."""
    target = np.zeros((2, 3, 3))
    target[0, :, 1] = target[1, :, 2] = 1
    draft = np.zeros((2, 3, 3))
    draft[:, :, 0] = 1
    pair = ModelPair.from_probabilities(target, draft, initial=[1, 0, 0])
    outcomes = enumerate_outcomes(pair, Speculative())
    assert outcomes.law == {Outcome(path=1 * 3 + 2, rejected=0b11, calls=2, accepted_lengths=(0, 0)): 1}
    assert outcomes.joint_law()[5, 3] == 1
    assert list(np.flatnonzero(outcomes.rejected_prefix_masses(1))) == [1]
    assert outcomes.output_marginals()[0, 1] == outcomes.output_marginals()[1, 2] == 1


@pytest.mark.parametrize(
    "algorithm",
    [
        Speculative(),
        Speculative(draft_length=1),
        OverAcceptance(epsilon=0.25, residual="target"),
        Batch(drafts=2),
        BatchAsPrinted(drafts=2, slip="inside-loop"),
        BatchAsPrinted(drafts=2, slip="extra-subtraction"),
        BlockVerification(),
    ],
    ids=lambda a: a.label,
)
def test_what_is_discarded_unread_does_not_matter(algorithm: Algorithm) -> None:
    """Drawing all responses to their end first gives the same joint law as drawing what is read."""
    pair = small()
    full = enumerate_outcomes(pair, algorithm, full_drafts=True)
    assert enumerate_outcomes(pair, algorithm, full_drafts=False).law == full.law


@pytest.mark.parametrize(
    ("algorithm", "lossless"),
    [
        (Autoregressive(), True),
        (Speculative(draft_length=2), True),
        (Batch(drafts=2, draft_length=2, bonus=True), True),
        (BlockVerification(draft_length=2), True),
        (OverAcceptance(epsilon=0), True),
        (OverAcceptance(epsilon=0, residual="target"), False),
        (OverAcceptance(epsilon=F(1, 8)), False),
        (BatchAsPrinted(drafts=2, slip="inside-loop"), False),
        (BatchAsPrinted(drafts=2, slip="extra-subtraction"), False),
    ],
    ids=lambda value: getattr(value, "label", str(value)),
)
def test_which_algorithms_emit_the_target_law(algorithm: Algorithm, lossless: bool) -> None:
    pair = RationalPair.independent(
        [F(1, 2), F(3, 10), F(3, 20), F(1, 20)], [F(1, 5), F(9, 20), F(1, 10), F(1, 4)], horizon=3
    )
    output = enumerate_outcomes(pair, algorithm).output_law()
    assert (list(output) == list(target_law(pair, exact=True))) is lossless


def test_refuses_what_would_explode(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TooLargeError, match="sequences to enumerate"):
        enumerate_outcomes(small(40), Speculative())
    with pytest.raises(UnsupportedError, match="finite number of drafts"):
        enumerate_outcomes(small(), Batch(drafts=math.inf))
    with pytest.raises(UnsupportedError, match="gumbel has no program to enumerate: continuous noise"):
        enumerate_outcomes(small(), get_rule("gumbel")(draft_length=1))
    with pytest.raises(InputError, match="4 children, more than the 3 tokens"):
        enumerate_outcomes(small(), get_rule("recursive-distinct")(tree=(4,)))
    monkeypatch.setattr("specsim.theory.enumeration._MAX_BRANCHES", 100)
    with pytest.raises(TooLargeError, match="branches"):
        enumerate_outcomes(small(), BlockVerification())
    monkeypatch.undo()
    monkeypatch.setattr("specsim.theory.enumeration._MAX_STATES", 10)
    with pytest.raises(TooLargeError, match="outcomes"):
        enumerate_outcomes(small(), Speculative())
