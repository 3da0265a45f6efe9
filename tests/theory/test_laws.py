"""Every law function equals the enumeration of the literal algorithm, exactly, for every descriptor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction as F
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import specsim
from specsim import theory
from specsim.algorithms import (
    Algorithm,
    Autoregressive,
    Batch,
    BatchAsPrinted,
    BlockVerification,
    OverAcceptance,
    RejectionBased,
    Speculative,
)
from specsim.errors import InputError, TooLargeError, UnsupportedError
from specsim.pairs import ModelPair
from specsim.theory.step_laws import step_law_of

NUMBERS = ["expected_rejections", "expected_target_calls", "rejection_variance", "block_efficiency"]
LAWS = ["rejection_law", "target_call_law", "accepted_length_law", "first_accepted_length_law", "output_law"]
ARRAYS = ["rejections_by_step", "accepted_length_counts", "output_marginals"]

DESCRIPTORS = [
    Autoregressive(),
    Speculative(),
    Speculative(draft_length=1),
    Speculative(draft_length=2),
    Speculative(draft_length=2, bonus=False),
    Speculative(draft_length=9),
    OverAcceptance(epsilon=0.1),
    OverAcceptance(epsilon=F(1, 10), residual="target"),
    OverAcceptance(epsilon=F(1, 3), residual="draft", draft_length=2, bonus=False),
    OverAcceptance(epsilon=0.0, draft_length=1, bonus=True),
    Batch(drafts=1),
    Batch(drafts=2),
    Batch(drafts=3),
    Batch(drafts=2, draft_length=1, bonus=False),
    Batch(drafts=3, draft_length=2, bonus=True),
    BatchAsPrinted(drafts=2, slip="inside-loop"),
    BatchAsPrinted(drafts=2, slip="extra-subtraction"),
    BatchAsPrinted(drafts=3, slip="extra-subtraction"),
    BlockVerification(),
    BlockVerification(draft_length=1),
    BlockVerification(draft_length=2),
    BlockVerification(draft_length=2, bonus=False),
]


def tree(tokens: int, depth: int) -> np.ndarray:
    nodes = sum(tokens**level for level in range(depth))
    following = np.arange(nodes)[:, None] * tokens + np.arange(tokens) + 1
    return np.where(following < nodes, following, 0)


def make(target: Any, draft: Any, horizon: int, initial: Any = None, next_context: Any = None) -> ModelPair:
    target = np.asarray(target, float)
    contexts = target.shape[-2]
    initial = np.eye(contexts)[0] if initial is None else initial
    return ModelPair.from_probabilities(
        target, draft, initial=initial, next_context=next_context, horizon=horizon
    )


@st.composite
def rows(draw: st.DrawFn, tokens: int) -> list[float]:
    cuts = sorted(draw(st.lists(st.integers(0, 8), min_size=tokens - 1, max_size=tokens - 1)))
    return [(b - a) / 8 for a, b in zip([0, *cuts], [*cuts, 8], strict=True)]


@st.composite
def pairs(draw: st.DrawFn) -> ModelPair:
    """Markov, prefix and general pairs in eighths; some rows equal, some supports disjoint."""
    tokens = draw(st.integers(2, 3))
    horizon = draw(st.integers(1, 4 if tokens == 2 else 3))
    kind = draw(st.sampled_from(["markov", "prefix", "general"]))
    steps = 1 if kind == "prefix" else draw(st.sampled_from([1, horizon]))
    if kind == "markov":
        contexts, next_context = tokens, None
    elif kind == "prefix":
        next_context = tree(tokens, horizon)
        contexts = len(next_context)
    else:
        contexts = draw(st.integers(1, 3))
        flat = st.lists(st.integers(0, contexts - 1), min_size=tokens, max_size=tokens)
        next_context = np.array([draw(flat) for _ in range(contexts)])
    size = steps * contexts
    target = [draw(rows(tokens)) for _ in range(size)]
    draft = [draw(rows(tokens)) if draw(st.integers(0, 4)) else row for row in target]
    shape = (steps, contexts, tokens)
    initial = np.eye(contexts)[0] if kind == "prefix" else draw(rows(contexts))
    return make(
        np.reshape(target, shape), np.reshape(draft, shape), horizon, np.asarray(initial), next_context
    )


@st.composite
def members(draw: st.DrawFn, pair: ModelPair) -> RejectionBased:
    """Any member of the family: acceptances and residuals unrelated to the pair."""
    steps = draw(st.sampled_from([1, pair.horizon]))
    shape = (steps, pair.contexts, pair.tokens)
    size = int(np.prod(shape))
    thirds = [F(k, 3) for k in draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))]
    residual = [draw(rows(pair.tokens)) for _ in range(shape[0] * shape[1])]
    return RejectionBased(
        acceptance=np.array(thirds, dtype=object).reshape(shape),
        residual=np.reshape(residual, shape),
        draft_length=draw(st.sampled_from([None, 1, 2])),
        bonus=draw(st.booleans()),
    )


def compare(pair: ModelPair, algorithm: Algorithm) -> None:
    outcomes = theory.enumerate_outcomes(pair, algorithm)
    assert sum(outcomes.law.values()) == 1
    for name in NUMBERS + LAWS + ARRAYS:
        expected = getattr(outcomes, name)()
        function = getattr(theory, name)
        exact = function(pair, algorithm, exact=True)
        assert np.all(exact == expected), (name, exact, expected)
        floats = np.asarray(function(pair, algorithm), dtype=float)
        assert np.abs(floats - np.asarray(expected, dtype=float)).max() < 1e-12, name
        if name in LAWS:
            assert exact.sum() == 1
            assert all(isinstance(value, F) for value in exact)
    joint = theory.transition_marginals(pair, algorithm, exact=True)
    assert (joint.sum(axis=1) == outcomes.output_marginals()).all()
    assert joint.shape == (pair.horizon, pair.contexts, pair.tokens)
    assert all(step.sum() == 1 for step in joint)
    assert np.abs(theory.transition_marginals(pair, algorithm) - joint.astype(float)).max() < 1e-12


EDGE_PAIRS = {
    "zeros": make(
        [[[0.5, 0.5, 0], [0.25, 0, 0.75], [0, 1, 0]]],
        [[[0, 0.5, 0.5], [1, 0, 0], [0.25, 0.25, 0.5]]],
        3,
        [0.25, 0.5, 0.25],
    ),
    "equal rows": make([[[0.5, 0.5], [0.25, 0.75]]], [[[0.5, 0.5], [0.25, 0.75]]], 4),
    "disjoint supports": make([[[0.5, 0.5, 0, 0]] * 4], [[[0, 0, 0.5, 0.5]] * 4], 2),
    "one token": make([[[1.0]]], [[[1.0]]], 3),
    "prefixes": make(
        np.arange(1, 15).reshape(7, 2) / np.arange(1, 15).reshape(7, 2).sum(1, keepdims=True),
        np.arange(14, 0, -1).reshape(7, 2) / np.arange(14, 0, -1).reshape(7, 2).sum(1, keepdims=True),
        3,
        None,
        tree(2, 3),
    ),
}


def on_edge_pairs() -> Iterator[Any]:
    """The fast tests have every algorithm on rows with zeros, and every third on each other pair."""
    for name, pair in EDGE_PAIRS.items():
        for number, algorithm in enumerate(DESCRIPTORS):
            marks = [] if name == "zeros" or number % 3 == 0 else [pytest.mark.slow]
            yield pytest.param(pair, algorithm, id=f"{name}-{algorithm.label}", marks=marks)


@pytest.mark.parametrize(("pair", "algorithm"), list(on_edge_pairs()))
def test_laws_equal_enumeration_on_edge_cases(pair: ModelPair, algorithm: Algorithm) -> None:
    compare(pair, algorithm)


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_laws_equal_enumeration_on_random_pairs(data: st.DataObject) -> None:
    pair = data.draw(pairs())
    algorithm = data.draw(st.one_of(st.sampled_from(DESCRIPTORS), members(pair)))
    compare(pair, algorithm)


@pytest.mark.slow
@settings(deadline=None, max_examples=120)
@given(data=st.data())
def test_laws_equal_enumeration_on_more_random_pairs(data: st.DataObject) -> None:
    pair = data.draw(pairs())
    compare(pair, data.draw(st.one_of(st.sampled_from(DESCRIPTORS), members(pair))))


@settings(deadline=None, max_examples=15)
@given(pair=pairs(), algorithm=st.sampled_from(DESCRIPTORS))
def test_a_shorter_horizon_is_the_cut_pair(pair: ModelPair, algorithm: Algorithm) -> None:
    if pair.horizon > 1:
        cut = pair.with_horizon(pair.horizon - 1)
        expected = theory.rejection_law(cut, algorithm, exact=True)
        assert list(theory.rejection_law(pair, algorithm, horizon=cut.horizon, exact=True)) == list(expected)


def test_infinite_drafts_are_the_limit_of_many() -> None:
    pair = EDGE_PAIRS["zeros"]
    many = theory.rejection_law(pair, Batch(drafts=400))
    assert np.abs(many - theory.rejection_law(pair, Batch(drafts=float("inf")))).max() < 1e-12
    assert theory.rejection_law(pair, Batch(drafts=float("inf")), exact=True).sum() == 1


@pytest.mark.parametrize(
    "algorithm",
    [Speculative(), Speculative(draft_length=3), Batch(drafts=3), OverAcceptance(epsilon=0.02)],
    ids=lambda a: a.label,
)
def test_floats_equal_exact_numbers_at_moderate_size(algorithm: Algorithm) -> None:
    generator = np.random.default_rng(4)
    target, draft = generator.random((2, 12, 6, 6))
    pair = make(target / target.sum(-1, keepdims=True), draft / draft.sum(-1, keepdims=True), 12)
    for name in (*NUMBERS, "rejection_law", "target_call_law", "accepted_length_counts", "output_marginals"):
        function = getattr(theory, name)
        exact = np.asarray(function(pair, algorithm, exact=True), dtype=float)
        assert np.abs(function(pair, algorithm) - exact).max() < 1e-11, name


def test_nearly_equal_rows() -> None:
    """The smallest difference a pair can have: floats must not lose the residual of the printed slip."""
    unit = 2.0**-32
    pair = make([[1.0, 0.0]] * 2, [[1 - unit, unit]] * 2, 2)
    for slip in ("inside-loop", "extra-subtraction"):
        algorithm = BatchAsPrinted(drafts=3, slip=slip)
        exact = theory.output_law(pair, algorithm, exact=True).astype(float)
        assert np.abs(theory.output_law(pair, algorithm) - exact).max() < 1e-15


@pytest.mark.parametrize("mutant", ["root everywhere", "no batch at the root", Batch(drafts=3)])
def test_wrong_roots_are_seen(mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    target = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.125, 0.25, 0.625]])
    draft = np.array([[0.25, 0.5, 0.25], [0.625, 0.125, 0.25], [0.5, 0.25, 0.25]])
    pair = make([target] * 3, [draft] * 3, 3)
    expected = theory.enumerate_outcomes(pair, Batch(drafts=2)).rejections_by_step()
    assert list(theory.rejections_by_step(pair, Batch(drafts=2), exact=True)) == list(expected)
    algorithm = Batch(drafts=2)
    if isinstance(mutant, Algorithm):
        algorithm = mutant
    else:
        right = step_law_of(algorithm.rule)
        drafts = 2 if mutant == "root everywhere" else 1
        wrong = replace(right, node_total=lambda target, draft, _: right.node_total(target, draft, drafts))
        monkeypatch.setattr("specsim.theory.laws.laws.step_law_of", lambda rule: wrong)
    assert list(theory.rejections_by_step(pair, algorithm, exact=True)) != list(expected)


def test_general_contexts_agree_with_the_same_chain_under_other_names() -> None:
    """A Markov pair with its contexts renumbered must have the same laws (the two movers of mass)."""
    generator = np.random.default_rng(2)
    target, draft = generator.dirichlet(np.ones(4), (2, 5, 4))
    markov = make(target, draft, 5, [0.25] * 4)
    order = np.array([2, 0, 3, 1])
    back = np.argsort(order)
    renamed = make(target[:, order], draft[:, order], 5, [0.25] * 4, np.tile(back, (4, 1)))
    for algorithm in (Speculative(draft_length=2), Batch(drafts=2)):
        for name in ("rejection_law", "target_call_law", "accepted_length_counts", "output_marginals"):
            function = getattr(theory, name)
            assert np.allclose(function(markov, algorithm), function(renamed, algorithm), atol=1e-13)


class TestRefusals:
    pair = EDGE_PAIRS["zeros"]

    def test_too_many_sequences_names_the_marginals(self) -> None:
        long = make(np.full((1, 8, 8), 0.125), np.full((1, 8, 8), 0.125), 40)
        with pytest.raises(TooLargeError, match="output_marginals"):
            theory.output_law(long, Speculative())
        with pytest.raises(TooLargeError, match="output_marginals"):
            theory.output_law(long, BlockVerification())
        with pytest.raises(TooLargeError, match="output_marginals"):
            theory.transition_marginals(long, Speculative(), horizon=20_000, exact=True)

    def test_absurd_exact_numbers(self) -> None:
        with pytest.raises(TooLargeError, match="100000 children"):
            theory.expected_rejections(self.pair, Batch(drafts=100_000), exact=True)
        rows = np.full((1, 64, 64), 1 / 64)
        with pytest.raises(TooLargeError, match="horizon is 400000"):
            theory.expected_rejections(make(rows, rows, 400_000), Speculative(), exact=True)

    def test_block_verification_with_too_many_states(self) -> None:
        generator = np.random.default_rng(0)
        target, draft = generator.dirichlet(np.ones(6), (2, 12, 6))
        with pytest.raises(TooLargeError, match="draft_length=12"):
            theory.expected_rejections(make(target, draft, 12), BlockVerification())

    def test_block_verification_with_endless_drafts(self) -> None:
        pair = make([[1.0]], [[1.0]], 1000)
        with pytest.raises(TooLargeError, match="1000 tokens per round"):
            theory.expected_rejections(pair, BlockVerification(), exact=True)
        assert theory.expected_target_calls(pair, BlockVerification(draft_length=299, bonus=False)) == 4

    def test_unknown_descriptor(self) -> None:
        class Unknown(Algorithm):
            pass

        with pytest.raises(UnsupportedError, match="Unknown"):
            theory.expected_rejections(self.pair, Unknown())

    def test_tables_of_another_pair(self) -> None:
        member = RejectionBased(acceptance=np.ones((2, 2)), residual=np.eye(2))
        for call in (theory.expected_rejections, theory.enumerate_outcomes):
            with pytest.raises(InputError, match="acceptance has"):
                call(self.pair, member)

    def test_tables_with_too_few_steps(self) -> None:
        member = RejectionBased(acceptance=np.ones((2, 3, 3)), residual=np.tile(np.eye(3), (2, 1, 1)))
        for call in (theory.expected_rejections, theory.enumerate_outcomes):
            with pytest.raises(InputError, match="step"):
                call(self.pair, member)

    def test_bad_horizon(self) -> None:
        with pytest.raises(InputError, match="horizon is 0"):
            theory.expected_rejections(self.pair, Speculative(), horizon=0)

    def test_no_pair(self) -> None:
        with pytest.raises(InputError, match="pair is a int"):
            theory.expected_rejections(50, Speculative())  # type: ignore[call-overload]

    def test_texts(self) -> None:
        """Pairs and algorithms may be given as they are spelled on the command line."""
        by_text = theory.expected_rejections("paper:5", "speculative:gamma=2")
        assert by_text == theory.expected_rejections(specsim.paper_pair(5), Speculative(draft_length=2))
