"""Step laws: the forms of one rule agree with each other, on all kinds of numbers."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product
from typing import Any

import flint
import numpy as np
import pytest

from specsim.algorithms import Rule, get_rule, levels
from specsim.errors import UnsupportedError
from specsim.theory.arithmetic import numbers
from specsim.theory.step_laws import block, recursive, step_law_of

TENTH = Fraction(1, 10)
CASES = [
    ("ratio", 1, {}),
    ("recursive", 1, {}),
    ("recursive", 2, {}),
    ("recursive", 3, {}),
    ("over-acceptance", 1, {"epsilon": TENTH, "residual": "optimal"}),
    ("over-acceptance", 1, {"epsilon": TENTH, "residual": "target"}),
    ("over-acceptance", 1, {"epsilon": TENTH, "residual": "draft"}),
    ("batch-as-printed", 1, {"slip": "extra-subtraction"}),
    ("batch-as-printed", 2, {"slip": "inside-loop"}),
    ("batch-as-printed", 3, {"slip": "extra-subtraction"}),
]


def rows(generator: np.random.Generator, shape: tuple[int, ...], kind: Any) -> Any:
    """Random rows with zeros, of float64, Fraction or fmpq."""
    weights = generator.integers(0, 4, shape)
    weights[..., -1] += 1
    exact = np.empty(shape, dtype=object)
    for index in np.ndindex(shape):
        exact[index] = kind(int(weights[index])) / int(weights[index[:-1]].sum())
    return exact.astype(np.float64) if kind is float else exact


@pytest.mark.parametrize("kind", [float, Fraction, flint.fmpq])
@pytest.mark.parametrize(("name", "children", "options"), CASES)
def test_forms_of_one_node_agree(name: str, children: int, options: Any, kind: Any) -> None:
    found = step_law_of(get_rule(name))
    structure = levels((children,))
    generator = np.random.default_rng(5)
    kinds = {key: kind(1) / 10 if isinstance(value, Fraction) else value for key, value in options.items()}
    for _ in range(5):
        target, draft = rows(generator, (2, 3), kind)
        taken, final = numbers.zeros((children, 3), target), numbers.zeros((3,), target)
        for drawn in product(range(3), repeat=children):
            nodes = np.array((0, *drawn))
            table = found.law(
                structure, np.tile(target, (len(nodes), 1)), np.tile(draft, (len(nodes), 1)), nodes, **kinds
            )
            mass = math.prod(draft[token] for token in drawn)
            final = final + mass * table[0]
            for child, token in enumerate(drawn):
                taken[child, token] += mass * table[1 + child].sum()
            assert kind is float or all(type(value) is kind for value in table.ravel())
        if found.node is not None:
            by_child, stopped = found.node(target, draft, children, **kinds)
            assert_same(by_child, taken)
            assert_same(stopped, final)
        total = found.root_total or found.node_total
        if total is not None:
            together, stopped = total(target, draft, children, **kinds)
            assert_same(together, taken.sum(axis=0))
            assert_same(stopped, final)


def assert_same(found: Any, expected: Any) -> None:
    if found.dtype == object:
        assert (found == expected).all()
    else:
        assert np.abs(found - expected).max() < 1e-14


@pytest.mark.parametrize("children", [65, 200, 5000])
def test_many_children_by_jumps_equal_one_after_the_other(children: int) -> None:
    generator = np.random.default_rng(0)
    target, draft = generator.dirichlet(np.full(5, 0.4), (2, 20))
    draft[3] = [0.5, 0.5, 0, 0, 0]
    draft[4] = [1, 0, 0, 0, 0]
    target[5] = draft[5]
    draft[6, 1] = 1e-9
    expected = recursive.node(target, draft, children)[1]
    assert np.abs(recursive.node_total(target, draft, children)[1] - expected).max() < 1e-14


def test_a_million_million_children_are_the_limit() -> None:
    target, draft = np.array([[0.5, 0.25, 0.25]]), np.array([[0.0, 1e-9, 1 - 1e-9]])
    limit = recursive.node_total(target, draft, math.inf)
    assert limit[1].tolist() == [[0.5, 0.0, 0.0]]
    for found, expected in zip(recursive.node_total(target, draft, 10**12), limit, strict=True):
        assert np.abs(found - expected).max() < 1e-15


def test_block_law_is_that_of_its_state() -> None:
    """The law multiplies tests, the state uses the published lemma: stopping masses are the same."""
    generator = np.random.default_rng(3)
    structure = levels((1, 1, 1))
    for _ in range(3):
        target, draft = rows(generator, (2, 4, 3), Fraction)
        for drawn in product(range(3), repeat=2):
            stopped = numbers.zeros((3,), target)
            for last in range(3):
                table = block.law(structure, target, draft, np.array((0, *drawn, last)))
                assert table.sum() == 1
                stopped = stopped + draft[2, last] * table[2]
            state = block.state(structure)
            past = [np.array([[Fraction(1)]])]
            for level, token in enumerate(drawn):
                [(_, after)], _ = state.node(past, target[level : level + 1], draft[level : level + 1], 1)
                past = [number[:, 0, token : token + 1] for number in after]
            if math.prod(draft[level, token] for level, token in enumerate(drawn)):
                assert (stopped == state.node(past, target[2:3], draft[2:3], 1)[1]).all()


def test_rules_without_a_step_law_are_named() -> None:
    facts = {"title": "t", "source": "s", "lossless": True, "structures": ("chain",)}
    mine = Rule(name="mine", drawings=("independent",), own=print, **facts)
    with pytest.raises(UnsupportedError, match="mine"):
        step_law_of(mine)
    other = Rule(name="other", drawings=("independent",), absent={"step_law": "because"}, **facts)
    with pytest.raises(UnsupportedError, match="because"):
        step_law_of(other)


def test_capped_never_divides_by_zero() -> None:
    zero, half = Fraction(0), Fraction(1, 2)
    with np.errstate(all="raise"):
        assert numbers.capped(np.array([0.0, 0.5]), np.array([0.0, 0.0])).tolist() == [1, 1]
        found = numbers.capped(np.array([zero, half], dtype=object), np.array([zero, half], dtype=object))
    assert [type(value) for value in found] == [Fraction, Fraction]
