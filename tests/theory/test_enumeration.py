"""The brute force itself: hand-made cases, the choice of what is drawn, and limits."""

from __future__ import annotations

import math
from fractions import Fraction as F
from typing import Any

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
    Structure,
    catalogue,
    get_rule,
    tree,
)
from specsim.algorithms.rule import Drawing, Rule
from specsim.errors import InputError, TooLargeError, UnsupportedError
from specsim.pairs import ModelPair
from specsim.theory import RationalPair, enumerate_outcomes, target_law
from specsim.theory.enumeration import Outcome
from specsim.theory.programs import k_seq


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


#: The fast tests have two children of one node for every rule, and an irregular tree for three rules.
TREES = [
    pytest.param(
        rule,
        drawing,
        shape,
        id=f"{rule.name}-{drawing}-{shape}",
        marks=[]
        if (shape == (2,) and drawing == rule.drawings[0])
        or (isinstance(shape, Structure) and rule.name in ("recursive", "traversal", "recursive-distinct"))
        else [pytest.mark.slow],
    )
    for rule in catalogue().values()
    if rule.lossless and "tree" in rule.structures and "program" not in rule.absent
    for drawing in rule.drawings
    for shape in ((2,), (2, 1), tree((-1, 0, 0, 1)))
]


@pytest.mark.parametrize(("rule", "drawing", "shape"), TREES)
def test_trees_over_whole_runs(
    rule: Rule, drawing: Drawing, shape: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs have the target's law and the same laws however drafts are drawn; the last rounds are cut."""
    monkeypatch.setattr(k_seq.program, "__defaults__", (3,))
    generator = np.random.default_rng(0)
    rows = [[[F(int(w), 8) for w in (k, 8 - k)] for k in generator.integers(0, 9, 2)] for _ in range(2)]
    pair = RationalPair(
        target=(rows[0],),
        draft=(rows[1],),
        next_context=[[0, 1], [0, 1]],
        initial=[F(1, 3), F(2, 3)],
        horizon=3,
    )
    for bonus in (True, False):
        algorithm = rule(tree=shape, drawn=drawing, bonus=bonus)
        outcomes = enumerate_outcomes(pair, algorithm, full_drafts=True)
        assert list(outcomes.output_law()) == list(target_law(pair, exact=True))
        lazy = enumerate_outcomes(pair, algorithm, full_drafts=False)
        assert lazy.law == outcomes.law
        counts = outcomes.round_counts()
        assert (counts == lazy.round_counts()).all()
        assert counts.sum() == outcomes.expected_target_calls()
        assert list(counts.sum(axis=0)) == list(outcomes.accepted_length_counts())
        assert counts[0].sum() == 1


def test_round_counts_by_hand() -> None:
    """One drafted token of two is accepted with 1/2; the rest of a run of two positions follows."""
    pair = RationalPair.independent([F(1, 4), F(3, 4)], [F(3, 4), F(1, 4)], horizon=2)
    assert enumerate_outcomes(pair, Speculative(draft_length=1)).round_counts().tolist() == [
        # Accepted and a bonus token, or replaced and one more round, which has no position for a bonus.
        [F(1, 2), F(1, 2), 0],
        [F(1, 4), F(1, 4), 0],
    ]


def test_refuses_what_would_explode(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TooLargeError, match="sequences to enumerate"):
        enumerate_outcomes(small(40), Speculative())
    with pytest.raises(UnsupportedError, match="finite number of drafts"):
        enumerate_outcomes(small(), Batch(drafts=math.inf))
    with pytest.raises(UnsupportedError, match="gumbel has no program to enumerate: continuous noise"):
        enumerate_outcomes(small(), get_rule("gumbel")(draft_length=1))
    with pytest.raises(InputError, match="4 children, more than the 3 tokens"):
        enumerate_outcomes(small(), get_rule("recursive-distinct")(tree=(4,)))
    monkeypatch.setattr("specsim.theory.enumerated_rounds._MAX_BRANCHES", 100)
    with pytest.raises(TooLargeError, match="branches"):
        enumerate_outcomes(small(), BlockVerification())
    monkeypatch.undo()
    monkeypatch.setattr("specsim.theory.enumeration._MAX_STATES", 10)
    with pytest.raises(TooLargeError, match="outcomes"):
        enumerate_outcomes(small(), Speculative())
