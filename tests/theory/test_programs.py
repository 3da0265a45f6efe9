"""Programs and step laws of all rules: equal on every draft, lossless, and wrong where they should be."""

from __future__ import annotations

from fractions import Fraction as F
from itertools import combinations, product
from typing import Any

import flint
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from specsim.algorithms import Structure, Verification, catalogue, chain, get_rule, levels, paths, tree
from specsim.algorithms.rule import Drawing, Rule
from specsim.theory import RationalPair, round_bias, stop_law
from specsim.theory.enumerated_rounds import child_law
from specsim.theory.programs import get_program, k_seq
from specsim.theory.step_laws import drafts, gumbel, step_law_of

CHAINS = [chain(1), chain(2), chain(3)]
PATHS = [paths(2, 1), paths(2, 2)]
TREES = [levels((2, 1)), levels((1, 2)), levels((2, 2)), tree((-1, 0, 0, 1, 1, 3))]
#: Values for the parameters; tables get rows of their own.
CHOICES: dict[str, list[dict[str, Any]]] = {
    "over-acceptance": [{"epsilon": F(1, 8), "residual": kind} for kind in ("optimal", "target", "draft")],
    "batch-as-printed": [{"slip": slip} for slip in ("inside-loop", "extra-subtraction")],
    # Few halvings keep the numbers short.
    "k-seq": [{"halvings": 3}],
}
WITH_PROGRAM = [rule for rule in catalogue().values() if "program" not in rule.absent]
LOSSLESS = [(rule, drawing) for rule in WITH_PROGRAM if rule.lossless for drawing in rule.drawings]


#: One of each kind, for the fast tests; the others are in the slow ones.
FAST = [CHAINS[1], PATHS[0], TREES[0]]

#: For tests that go over all structures of a rule.
SIZES = pytest.mark.parametrize("few", [True, pytest.param(False, marks=pytest.mark.slow)])


def structures(rule: Rule, few: bool) -> list[Structure]:
    return [s for s in (FAST if few else [*CHAINS, *PATHS, *TREES]) if s.kind in rule.structures]


def choices(rule: Rule) -> list[dict[str, Any]]:
    """Values of the parameters: those above, or every combination of those that the facts name."""
    if rule.name in CHOICES:
        return CHOICES[rule.name]
    columns = [entry.choices or entry.examples for entry in rule.parameters.values()]
    return [
        {
            name: F(value) if isinstance(value, float) else value
            for name, value in zip(rule.parameters, chosen, strict=True)
        }
        for chosen in product(*columns)
    ]


def in_floats(rule: Rule) -> bool:
    """Whether the step law has floats only; that of K-SEQ has a rational factor."""
    return bool(rule.inexact) and rule.name not in CHOICES


def rows(generator: np.random.Generator, nodes: int, tokens: int) -> list[list[F]]:
    """Random rows, many of them with zeros."""
    weights = generator.integers(0, 4, (nodes, tokens))
    weights[weights.sum(axis=1) == 0] = 1
    return [[F(int(w), int(row.sum())) for w in row] for row in weights]


def objects(values: Any) -> Any:
    return np.array(values, dtype=object)


def possible_drafts(rule: Rule, structure: Structure, draft: list[list[F]], drawing: Drawing) -> Any:
    """Yield the tokens of every draft of positive probability, and the probability."""
    program = get_program(rule) if "program" not in rule.absent else None
    for drawn in product(range(len(draft[0])), repeat=len(structure.parents) - 1):
        tokens = [-1, *drawn]
        mass = F(1)
        for node, parent in enumerate(structure.parents[1:], start=1):
            siblings = structure.children(parent)
            before = [tokens[child] for child in siblings if child < node]
            assert program is not None
            mass *= child_law(draft[parent], before, len(siblings), drawing, program)[tokens[node]]
        if mass:
            yield tokens, mass


@pytest.fixture(autouse=True)
def _short_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(k_seq.program, "__defaults__", (3,))


@SIZES
@pytest.mark.parametrize("rule", WITH_PROGRAM, ids=lambda rule: rule.name)
def test_program_is_the_step_law_on_every_draft(rule: Rule, few: bool) -> None:
    generator = np.random.default_rng(list(rule.name.encode()))
    found = step_law_of(rule)
    for structure in structures(rule, few):
        nodes = len(structure.parents)
        widest = max(len(structure.children(node)) for node in range(nodes))
        for tokens_in_all in (2, 3) if nodes < 5 else (2,):
            target, draft = rows(generator, nodes, tokens_in_all), rows(generator, nodes, tokens_in_all)
            for drawing in rule.drawings:
                if drawing != "independent" and widest > tokens_in_all:
                    continue
                options = choices(rule)
                if any(entry.kind == "table" for entry in rule.parameters.values()):
                    options = [{name: rows(generator, nodes, tokens_in_all) for name in rule.parameters}]
                for drawn, _ in possible_drafts(rule, structure, draft, drawing):
                    for values in options:
                        expected = stop_law(rule, structure, target, draft, drawn, **values)
                        assert expected.sum() == 1
                        kind = float if in_floats(rule) else object
                        given = {k: objects(v) if isinstance(v, list) else v for k, v in values.items()}
                        if in_floats(rule):
                            given = {k: float(v) if isinstance(v, F) else v for k, v in given.items()}
                        law = found.law(
                            structure, np.array(target, kind), np.array(draft, kind), np.array(drawn), **given
                        )
                        wrong = abs(law - expected) > 1e-12 if in_floats(rule) else law != expected
                        assert not wrong.any(), (structure, drawing, drawn, target, draft)


@st.composite
def rational_rows(draw: Any, tokens: int) -> list[F]:
    weights = draw(st.lists(st.integers(0, 5), min_size=tokens, max_size=tokens).filter(any))
    return [F(weight, sum(weights)) for weight in weights]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_row(data: Any) -> None:
    """Both texts on one node, whatever the rows; all drafts at once in the law."""
    rule = data.draw(
        st.sampled_from([rule for rule in WITH_PROGRAM if not rule.parameters and not in_floats(rule)])
    )
    children = data.draw(st.integers(1, 2)) if "tree" in rule.structures else 1
    tokens = data.draw(st.integers(2, 3))
    structure = levels((children,))
    target, draft = ([data.draw(rational_rows(tokens))] * (children + 1) for _ in range(2))
    options = CHOICES.get(rule.name, [{}])[0]
    drawn = [found for found, _ in possible_drafts(rule, structure, draft, rule.drawings[0])]
    shape = (len(drawn), children + 1, tokens)
    law = step_law_of(rule).law(
        structure,
        np.broadcast_to(objects(target), shape),
        np.broadcast_to(objects(draft), shape),
        np.array(drawn),
        **options,
    )
    for found, one in zip(drawn, law, strict=True):
        assert (stop_law(rule, structure, target, draft, found, **options) == one).all()


def whole_prefix_pair(generator: np.random.Generator, tokens: int, horizon: int) -> RationalPair:
    """A pair whose rows depend on everything emitted so far; contexts are the nodes of a tree."""
    contexts = sum(tokens**n for n in range(horizon))
    following = [
        [min(context * tokens + 1 + token, contexts - 1) for token in range(tokens)]
        for context in range(contexts)
    ]
    return RationalPair(
        target=(rows(generator, contexts, tokens),),
        draft=(rows(generator, contexts, tokens),),
        next_context=following,
        initial=(1, *[0] * (contexts - 1)),
        horizon=horizon,
    )


@SIZES
@pytest.mark.parametrize(("rule", "drawing"), LOSSLESS, ids=lambda value: getattr(value, "name", value))
def test_lossless_rules_have_no_bias(rule: Rule, drawing: Drawing, few: bool) -> None:
    generator = np.random.default_rng(list(rule.name.encode()))
    for structure in structures(rule, few):
        for _ in range(2):
            pair = whole_prefix_pair(generator, 2, structure.depth + 1)
            algorithm = rule(tree=structure, drawn=drawing)
            assert round_bias(pair, algorithm) == 0, structure
    for structure in [levels((2,))] if few else [chain(2), levels((2,)), levels((3,))]:
        if structure.kind in rule.structures:
            pair = whole_prefix_pair(generator, 3, structure.depth + 1)
            assert round_bias(pair, rule(tree=structure, drawn=drawing)) == 0, structure


@pytest.mark.parametrize("name", ["gumbel"])
def test_lossless_laws_without_a_program(name: str) -> None:
    """Sum one node's law over all drafts: descents and stops together have the target's law, exactly."""
    rule = get_rule(name)
    generator = np.random.default_rng(8)
    for children, tokens in [(1, 2), (1, 4)] if name == "gumbel" else [(1, 2), (2, 2), (2, 3), (3, 3)]:
        for _ in range(4):
            target, draft = objects(rows(generator, 2, tokens))
            emitted = target * 0
            for drawn in product(range(tokens), repeat=children):
                mass = F(1)
                for k, token in enumerate(drawn):
                    before = np.array(drawn[:k], dtype=np.int64)
                    mass *= drafts.child_law(draft, before, children, rule.drawings[0])[token]
                if mass:
                    taken, final = step_law_of(rule).node_step(target, draft, np.array(drawn))
                    assert taken.sum() + final.sum() == 1
                    emitted += mass * final
                    for token, probability in zip(drawn, taken, strict=True):
                        emitted[token] += mass * probability
            assert (emitted == target).all()


def test_transport_accepts_most() -> None:
    """The largest flow is the least cut: over sets of tokens, their target mass and the drafts not inside."""
    step = step_law_of(get_rule("transport")).node_step
    assert step is not None
    generator = np.random.default_rng(9)
    for _ in range(10):
        target, draft = objects(rows(generator, 2, 3))
        accepted = sum(
            draft[x] * draft[y] * step(target, draft, np.array([x, y]))[0].sum()
            for x, y in product(range(3), repeat=2)
        )
        cuts = [
            sum(target[list(inside)]) + 1 - sum(draft[list(inside)]) ** 2
            for size in range(4)
            for inside in combinations(range(3), size)
        ]
        assert accepted == min(cuts)


@pytest.mark.parametrize(
    "rule",
    [r for r in catalogue().values() if not r.parameters and not in_floats(r)],
    ids=lambda rule: rule.name,
)
@pytest.mark.parametrize("kind", [float, flint.fmpq])
def test_laws_in_other_numbers(rule: Rule, kind: Any) -> None:
    generator = np.random.default_rng(2)
    structure = levels((2, 1)) if "tree" in rule.structures else chain(2)
    nodes = len(structure.parents)
    options = CHOICES.get(rule.name, [{}])[0]
    target, draft = objects(rows(generator, nodes, 3)), objects(rows(generator, nodes, 3))
    convert = np.vectorize(lambda value: kind(value.numerator) / value.denominator, otypes=[object])
    numbers = [convert(value) for value in (target, draft)]
    if kind is float:
        numbers = [value.astype(np.float64) for value in numbers]
    for drawn in product(range(3), repeat=nodes - 1):
        tokens = np.array((0, *drawn))
        exact = step_law_of(rule).law(structure, target, draft, tokens, **options)
        law = step_law_of(rule).law(structure, *numbers, tokens, **options)
        assert kind is float or all(type(value) is kind for value in law.flat)
        assert np.abs(law.astype(np.float64) - exact.astype(np.float64)).max() < 1e-14


@pytest.mark.parametrize(
    "rule", [r for r in catalogue().values() if not r.parameters], ids=lambda rule: rule.name
)
def test_closed_forms_of_a_node(rule: Rule) -> None:
    """Where siblings' tokens are summed out in closed form, machine summation gives the same."""
    found = step_law_of(rule)
    if found.node is None:
        return
    options = CHOICES.get(rule.name, [{}])[0]
    generator = np.random.default_rng(3)
    for children, tokens in [(1, 3), (2, 3), (3, 3)] if "tree" in rule.structures else [(1, 3)]:
        for _ in range(3):
            target, draft = objects(rows(generator, 2, tokens))
            descents, stops = objects([[F(0)] * tokens] * children), target * 0
            for drawn in product(range(tokens), repeat=children):
                mass = F(1)
                for k, token in enumerate(drawn):
                    before = np.array(drawn[:k], dtype=np.int64)
                    mass *= drafts.child_law(draft, before, children, rule.drawings[0], found.next_child)[
                        token
                    ]
                if mass:
                    taken, final = found.node_step(target, draft, np.array(drawn), **options)
                    stops += mass * final
                    for k, token in enumerate(drawn):
                        descents[k, token] += mass * taken[k]
            taken, final = found.node(target, draft, children, **options)
            assert (taken == descents).all()
            assert (final == stops).all()


def test_drawing_is_the_same_for_programs_and_laws() -> None:
    generator = np.random.default_rng(4)
    for drawing in ("independent", "distinct", "greedy", "own"):
        name = "greedy-drafts" if drawing == "own" else "match"
        law, program = step_law_of(get_rule(name)), get_program(get_rule(name))
        for row in rows(generator, 6, 4):
            for before in ([], [2], [0, 3]):
                expected = child_law(row, before, 3, drawing, program)
                tried = np.array(before, dtype=np.int64)
                found = drafts.child_law(objects(row), tried, 3, drawing, law.next_child)
                assert found.tolist() == expected


def test_gumbel_with_two_tokens_by_hand() -> None:
    """Both draws are 0 with probability 1 / max(1/a, 1/b, ...): for two tokens the coupling is maximal."""
    first, second = objects([F(1, 4), F(3, 4)]), objects([F(1, 2), F(1, 2)])
    law = gumbel.second_draw_law(first, second, np.array(1))
    # S(r_1) = max(1/4, 3/2 * 1/2) + 3/4 = 3/2.
    assert law.tolist() == [F(1, 3), F(2, 3)]


# Wrong rules.


def biases(name: str, shapes: list[tuple[int, ...]]) -> list[bool]:
    pair = RationalPair.independent([F(4, 8), F(3, 8), F(1, 8)], [F(1, 8), F(2, 8), F(5, 8)], horizon=3)
    return [round_bias(pair, get_rule(name)(tree=shape), horizon=len(shape) + 1) != 0 for shape in shapes]


def test_k_seq_belongs_to_row_and_number_of_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """What belongs to the rows and to two children is used for one child: [2, 2] does not show it."""
    right = k_seq._expected_tests
    monkeypatch.setattr(k_seq, "_expected_tests", lambda acceptance, children: right(acceptance, 2))
    assert biases("k-seq", [(2, 2), (2, 1)]) == [False, True]


def test_k_seq_below_the_least_factor_is_biased(monkeypatch: pytest.MonkeyPatch) -> None:
    assert biases("k-seq", [(1,), (2,)]) == [False, False]
    monkeypatch.setattr(k_seq, "least_factor", lambda *_: F(1))
    assert biases("k-seq", [(1,), (2,)]) == [False, True]


@pytest.mark.parametrize(
    ("name", "drawing", "shape"),
    [
        ("recursive", "distinct", (2,)),
        ("traversal", "distinct", (2,)),
        ("summed-coin", "independent", (2,)),
        ("k-seq", "greedy", (2,)),
        ("ratio", "greedy", (1,)),
    ],
)
def test_rules_are_biased_on_drafts_drawn_in_another_way(
    name: str, drawing: Drawing, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert biases(name, [shape]) == [False]
    monkeypatch.setattr(Verification, "drawing", drawing)
    assert biases(name, [shape]) == [True]


@pytest.mark.parametrize(
    ("name", "part", "wrong", "shapes"),
    [
        # No residual: the target again.
        ("recursive", "positive_part", lambda row, subtracted: row, [(1,), (2,)]),
        ("block", "positive_part", lambda row, subtracted: row, [(1, 1)]),
        ("greedy-drafts", "positive_part", lambda row, subtracted: row, [(2,)]),
        ("traversal", "positive_part", lambda row, subtracted: row, [(2, 1)]),
        # The draft row is not renormalised after a failure.
        ("recursive-distinct", "without", lambda row, tried: row, [(2,)]),
        ("one-hot", "without", lambda row, tried: row, [(2,)]),
        ("summed-coin", "without", lambda row, tried: row, [(2,)]),
    ],
)
def test_broken_programs_are_biased(
    name: str, part: str, wrong: Any, shapes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_program(get_rule(name)), part, wrong)
    assert all(biases(name, shapes))
