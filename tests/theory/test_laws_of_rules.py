"""The one class of laws: every rule on every structure and drawing, by every description it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from specsim import theory
from specsim.algorithms import (
    Algorithm,
    Autoregressive,
    Batch,
    BlockVerification,
    RejectionBased,
    Speculative,
    Structure,
    catalogue,
    get_rule,
    tree,
)
from specsim.errors import InputError, TooLargeError, UnsupportedError
from specsim.pairs import ModelPair
from specsim.pairs.families import random_pair
from specsim.theory import Laws, RationalPair
from specsim.theory.laws import laws as module
from specsim.theory.step_laws import State, step_law_of

METHODS = (
    "rejections_by_step",
    "expected_rejections",
    "expected_target_calls",
    "rejection_variance",
    "rejection_law",
    "target_call_law",
    "round_counts",
    "accepted_length_counts",
    "first_accepted_length_law",
    "output_law",
    "output_marginals",
)
OPTIONS: dict[str, dict[str, Any]] = {
    "over-acceptance": {"epsilon": Fraction(1, 10)},
    "batch-as-printed": {"slip": "extra-subtraction"},
    "confidence-tree": {"size": 2},
}
IRREGULAR = tree((-1, 0, 0, 1, 1, 3))
#: Two nodes with two children each, alike below the one and not below the other.
HALF_ALIKE = tree((-1, 0, 0, 1, 1))
SHAPES: dict[str, list[dict[str, Any]]] = {
    "chain": [{"draft_length": 2}, {"draft_length": 3, "bonus": False}, {}],
    "paths": [{"drafts": 2, "draft_length": 2}],
    "tree": [{"tree": (1, 2)}, {"tree": (2, 2), "bonus": False}, {"tree": IRREGULAR}, {"tree": HALF_ALIKE}],
}


def algorithms() -> Iterator[Algorithm]:
    for name, rule in catalogue().items():
        if any(entry.kind == "table" for entry in rule.parameters.values()):
            continue
        usual = {key: (entry.choices or entry.examples)[0] for key, entry in rule.parameters.items()}
        for kind in rule.structures:
            for shape in SHAPES[kind]:
                for drawing in rule.drawings:
                    yield rule(**OPTIONS.get(name, usual), **shape, drawn=drawing)


def make_pair(tokens: int, horizon: int, seed: int = 1, stationary: bool = False) -> ModelPair:
    """A pair with zeros, whose horizon is no multiple of the lengths of rounds."""
    weights = np.random.default_rng(seed).integers(0, 4, (2, 1 if stationary else horizon, tokens, tokens))
    weights[..., -1] += 1
    target, draft = weights / weights.sum(axis=-1, keepdims=True)
    return ModelPair.from_probabilities(target, draft, initial=np.full(tokens, 1 / tokens), horizon=horizon)


def assert_same(found: Any, expected: Any, exact: bool, name: str) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    if name == "round_counts":
        # Enumeration has all lengths up to the horizon.
        assert not expected[:, found.shape[1] :].any()
        expected = expected[:, : found.shape[1]]
    if exact:
        assert (found == expected).all(), name
    else:
        assert np.abs(found.astype(float) - expected.astype(float)).max() < 1e-11, name


def fast_and_slow() -> Iterator[Any]:
    """The fast tests have every rule on the smallest structure of its last kind, and three on all trees."""
    seen = set()
    for algorithm in algorithms():
        rule, kind = algorithm.rule, algorithm.structure(3).kind
        first = kind == rule.structures[-1] and rule.name not in seen
        trees = kind == "tree" and rule.name in ("recursive", "traversal", "recursive-distinct")
        marks = [] if first or trees else [pytest.mark.slow]
        seen |= {rule.name} if first else set()
        yield pytest.param(algorithm, id=algorithm.label, marks=marks)


@pytest.mark.parametrize("algorithm", list(fast_and_slow()))
def test_laws_equal_enumeration_and_all_descriptions_agree(algorithm: Algorithm) -> None:
    """Exactly where the rule is rational; rules without a program are compared with all drafts alone."""
    pair = make_pair(2, 3)
    exact = not algorithm.rule.inexact
    laws = Laws(pair, algorithm, exact=exact)
    floats = [Laws(pair, algorithm)]
    if laws.description not in ("paths", "kept"):
        floats.append(Laws(pair, algorithm, description="paths"))
    known = "program" not in algorithm.rule.absent
    outcomes = theory.enumerate_outcomes(pair, algorithm) if known else floats[-1]
    for name in METHODS:
        expected = getattr(outcomes, name)()
        assert_same(getattr(laws, name)(), expected, exact and known, name)
        for other in floats:
            assert_same(getattr(other, name)(), expected, False, name)
    counts = laws.round_counts()
    assert_same(counts.sum(), laws.expected_target_calls(), exact, "calls")


#: Rules that are described by states, and what they verify.
STATED: list[tuple[str, dict[str, Any]]] = [
    *(("block", {"draft_length": length}) for length in (1, 2, 4)),
    *(("greedy-block", {"drafts": drafts, "draft_length": 2}) for drafts in (1, 2)),
    *(("traversal", {"tree": shape}) for shape in ((1, 2), IRREGULAR, HALF_ALIKE)),
    *(("traversal-distinct", {"tree": shape}) for shape in ((2, 1), (1, 2), HALF_ALIKE)),
]


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    drawn=st.sampled_from(STATED),
    bonus=st.booleans(),
    tokens=st.integers(2, 3),
    stationary=st.booleans(),
)
def test_states_equal_paths_exactly(
    seed: int, drawn: tuple[str, dict[str, Any]], bonus: bool, tokens: int, stationary: bool
) -> None:
    name, shape = drawn
    pair = make_pair(tokens, 4, seed, stationary)
    algorithm = get_rule(name)(**shape, bonus=bonus)
    states = Laws(pair, algorithm, exact=True)
    paths = Laws(pair, algorithm, exact=True, description="paths")
    assert (states.description, paths.description) == ("states", "paths")
    for name in METHODS:
        assert np.all(getattr(states, name)() == getattr(paths, name)()), name


@st.composite
def trees(draw: st.DrawFn) -> Structure:
    parents = [-1]
    for node in range(1, draw(st.integers(2, 6))):
        parents.append(draw(st.integers(max(parents[-1], 0), node - 1)))
    return tree(parents)


@settings(deadline=None, max_examples=25)
@given(
    shape=trees(),
    name=st.sampled_from(["recursive", "match", "one-hot"]),
    bonus=st.booleans(),
    seed=st.integers(0, 10**6),
    horizon=st.integers(1, 4),
)
def test_nodes_equal_paths_exactly(shape: Structure, name: str, bonus: bool, seed: int, horizon: int) -> None:
    pair = make_pair(2, horizon, seed)
    algorithm = get_rule(name)(tree=shape, bonus=bonus)
    nodes = Laws(pair, algorithm, exact=True)
    paths = Laws(pair, algorithm, exact=True, description="paths")
    assert (nodes.description, paths.description) == ("nodes", "paths")
    for method in METHODS:
        assert np.all(getattr(nodes, method)() == getattr(paths, method)()), method


def test_descriptions_agree_on_contexts_that_are_no_tokens() -> None:
    generator = np.random.default_rng(3)
    target, draft = generator.dirichlet(np.ones(3), (2, 5, 2))
    pair = ModelPair.from_probabilities(
        target, draft, initial=[0.5, 0.5], next_context=np.array([[0, 1, 1], [1, 0, 1]]), horizon=5
    )
    for algorithm in (BlockVerification(draft_length=2), get_rule("recursive")(tree=(2, 1))):
        laws = [
            Laws(pair, algorithm, description=description)
            for description in ("nodes", "states", "paths")
            if description in module._descriptions(step_law_of(algorithm.rule), algorithm, 5)
        ]
        assert len(laws) == 2
        for name in (*METHODS, "transition_marginals"):
            first, second = (getattr(each, name)() for each in laws)
            assert np.abs(np.asarray(first) - second).max() < 1e-13, name


@pytest.mark.parametrize(
    ("algorithm", "numbers"),
    [
        # Recorded from the recursions that this class replaced.
        (
            Speculative(draft_length=4),
            (
                6.522558134304168,
                8.821436096265707,
                5.484615991024178,
                0.0596139894235892,
                0.22933118292211258,
                1.3714956463596728,
            ),
        ),
        (
            Speculative(),
            (
                7.063675829138094,
                7.681589255548083,
                4.843943869726331,
                0.03288444918995446,
                0.14627574917295344,
                1.1965169210201236,
            ),
        ),
        (
            Batch(drafts=3, draft_length=4, bonus=False),
            (
                5.975036515195418,
                8.657189970828579,
                3.8056347433738225,
                0.06763492911474789,
                0.2913931077663133,
                1.5859823749320863,
            ),
        ),
        (
            Batch(drafts=float("inf")),
            (
                5.18830296906243,
                5.901755819651458,
                2.15361546342956,
                0.0915823522073868,
                0.026752784286430117,
                1.330907786853017,
            ),
        ),
        (
            BlockVerification(draft_length=4),
            (
                5.352704090001181,
                8.222554430704783,
                5.25264976951436,
                0.11724585617803464,
                0.19539381985645518,
                1.0405794093503258,
            ),
        ),
        (
            BlockVerification(draft_length=3, bonus=False),
            (
                6.196758209471174,
                10.731065961078142,
                4.7913307183092115,
                0.06805361815529995,
                0.15246523008054955,
                1.3552575140866885,
            ),
        ),
    ],
    ids=lambda value: getattr(value, "label", ""),
)
def test_recorded_values(algorithm: Algorithm, numbers: tuple[float, ...]) -> None:
    pair = random_pair(contexts=5, horizon=23, seed=4)
    found = [theory.expected_rejections(pair, algorithm), theory.expected_target_calls(pair, algorithm)]
    found += [theory.rejection_variance(pair, algorithm), theory.rejection_law(pair, algorithm)[3]]
    found += [theory.target_call_law(pair, algorithm)[9], theory.accepted_length_counts(pair, algorithm)[2]]
    assert found == pytest.approx(numbers, rel=1e-12)


class TestLongRun:
    """Averages over the rounds of very long runs."""

    @pytest.mark.parametrize(
        "algorithm",
        [
            Autoregressive(),
            Speculative(draft_length=2),
            BlockVerification(draft_length=3, bonus=False),
            get_rule("recursive")(tree=(2, 1)),
            get_rule("traversal")(tree=IRREGULAR),
        ],
        ids=lambda algorithm: algorithm.label,
    )
    def test_limit_of_long_horizons(self, algorithm: Algorithm) -> None:
        pair = make_pair(2, 400, seed=5, stationary=True)
        efficiency = theory.stationary_block_efficiency(pair, algorithm)
        assert theory.block_efficiency(pair, algorithm) == pytest.approx(efficiency, rel=0.01)
        law = theory.stationary_accepted_length_law(pair, algorithm)
        long = theory.accepted_length_law(pair, algorithm)
        assert np.abs(law - long[: len(law)]).max() < 0.01
        exact = theory.stationary_block_efficiency(pair, algorithm, exact=True)
        assert isinstance(exact, Fraction)
        assert float(exact) == pytest.approx(efficiency, rel=1e-12)

    def test_two_closed_classes(self) -> None:
        """A third of the runs stay where all is accepted, the others where nothing is: calls add up."""
        target: Any = [[0, Fraction(1, 3), Fraction(2, 3)], [0, 1, 0], [0, 0, 1]]
        draft: Any = [[0, 1, 0], [0, 1, 0], [0, 1, 0]]
        pair = RationalPair(
            target=(target,),
            draft=(draft,),
            next_context=((0, 1, 2),) * 3,
            initial=(Fraction(1), Fraction(0), Fraction(0)),
            horizon=5,
        )
        found = theory.stationary_block_efficiency(pair, Speculative(draft_length=3), exact=True)
        assert found == 1 / (Fraction(1, 3) / 4 + Fraction(2, 3))
        law = theory.stationary_accepted_length_law(pair, Speculative(draft_length=3), exact=True)
        assert law.tolist() == [Fraction(8, 9), 0, 0, Fraction(1, 9)]

    def test_refusals(self) -> None:
        with pytest.raises(InputError, match="stationary"):
            theory.stationary_block_efficiency(make_pair(2, 3), Speculative(draft_length=2))
        with pytest.raises(InputError, match="draft_length"):
            theory.stationary_block_efficiency(make_pair(2, 3, stationary=True), Speculative())


def test_very_many_drafts_are_quick_and_the_limit() -> None:
    pair = make_pair(3, 6)
    many = theory.rejection_law(pair, Batch(drafts=10**12))
    limit = theory.rejection_law(pair, Batch(drafts=float("inf")))
    assert np.abs(many - limit).max() < 1e-12


class TestRefusals:
    pair = make_pair(3, 4)

    def test_all_drafts_of_a_large_structure(self) -> None:
        with pytest.raises(
            TooLargeError, match=r"4 drafted tokens with 30 tokens .* numbers in each of 4 rounds \(at most"
        ):
            theory.expected_target_calls(make_pair(30, 4), get_rule("block-token-residual")(draft_length=4))

    def test_more_distinct_children_than_tokens(self) -> None:
        for name in ("recursive-distinct", "traversal-distinct"):
            with pytest.raises(InputError, match="4 children, more than the 3 tokens"):
                theory.expected_target_calls(self.pair, get_rule(name)(drafts=4, draft_length=1))

    def test_too_many_tuples_of_children(self) -> None:
        pair = random_pair(contexts=64, horizon=2, seed=1, stationary=True)
        with pytest.raises(TooLargeError, match="can fail in"):
            theory.expected_target_calls(pair, get_rule("recursive-distinct")(drafts=6, draft_length=1))

    def test_no_exact_mode(self) -> None:
        rule = next(rule for rule in catalogue().values() if rule.inexact)
        with pytest.raises(UnsupportedError, match=rule.inexact[:20]):
            theory.expected_target_calls(self.pair, rule(draft_length=2), exact=True)

    def test_a_description_that_the_rule_does_not_have(self) -> None:
        with pytest.raises(UnsupportedError, match="nodes or paths"):
            Laws(self.pair, Speculative(), description="states")

    def test_tables_that_end_before_the_horizon(self) -> None:
        member = RejectionBased(acceptance=np.ones((2, 3, 3)), residual=np.tile(np.eye(3), (2, 1, 1)))
        with pytest.raises(InputError, match="2 steps"):
            Laws(self.pair, member)


class TestMutants:
    """A wrong form of one step law must not agree with the other forms."""

    pair = make_pair(3, 4, seed=2)

    def wrong(self, monkeypatch: pytest.MonkeyPatch, algorithm: Algorithm, **changes: Any) -> None:
        found = replace(step_law_of(algorithm.rule), **changes)
        monkeypatch.setattr(module, "step_law_of", lambda rule: found)

    def differs(self, algorithm: Algorithm) -> bool:
        other = Laws(self.pair, algorithm, description="paths").round_counts()
        return bool(np.abs(Laws(self.pair, algorithm).round_counts() - other).max() > 1e-6)

    def test_children_are_taken_in_the_wrong_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Only an irregular tree tells children apart."""
        algorithm = get_rule("recursive")(tree=IRREGULAR)
        node = step_law_of(algorithm.rule).node
        assert node is not None

        def reversed_children(target: Any, draft: Any, children: int) -> Any:
            taken, final = node(target, draft, children)
            return taken[..., ::-1, :], final

        assert not self.differs(algorithm)
        self.wrong(monkeypatch, algorithm, node=reversed_children)
        assert self.differs(algorithm)

    def test_a_state_that_forgets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        algorithm = BlockVerification(draft_length=3)
        state = step_law_of(algorithm.rule).state
        assert state is not None

        def forgets(structure: Structure) -> State:
            right = state(structure)
            return replace(right, node=lambda numbers, *rest: right.node((numbers[0] ** 0,), *rest))

        assert not self.differs(algorithm)
        self.wrong(monkeypatch, algorithm, state=forgets)
        assert self.differs(algorithm)

    def test_a_state_that_does_not_know_that_children_failed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        algorithm = get_rule("traversal")(tree=(2, 2))
        state = step_law_of(algorithm.rule).state
        assert state is not None

        def forgets(structure: Structure) -> State:
            right = state(structure)

            def node(numbers: Any, target: Any, draft: Any, children: int) -> Any:
                descents, stop = right.node(numbers, target, draft, children)
                return [descents[0]] * children, stop

            return replace(right, node=node)

        assert not self.differs(algorithm)
        self.wrong(monkeypatch, algorithm, state=forgets)
        assert self.differs(algorithm)

    def test_children_drawn_otherwise(self, monkeypatch: pytest.MonkeyPatch) -> None:
        drawn = [
            get_rule("match")(drafts=2, draft_length=2, drawn=way) for way in ("independent", "distinct")
        ]
        assert not any(self.differs(algorithm) for algorithm in drawn)
        first, second = (Laws(self.pair, algorithm).round_counts() for algorithm in drawn)
        assert np.abs(first - second).max() > 1e-3
