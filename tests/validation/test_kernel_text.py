"""Exact laws of a kernel from its own text: what is followed, what is refused, what is seen."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numba
import numpy as np
import pytest
from flint import fmpq
from hypothesis import given, strategies as st

from specsim.algorithms import chain, levels
from specsim.errors import InputError
from specsim.validation.kernel_text import CannotEnumerate, KernelText

HALF = Fraction(1, 2)
ROWS = [[HALF, Fraction(1, 3), Fraction(1, 6)], [Fraction(1, 4), Fraction(3, 4), Fraction(0)]]
DRAFTS = [[Fraction(1, 4), HALF, Fraction(1, 4)], [HALF, Fraction(0), HALF]]
THIRD = 1 / 3


def numbers(target: Any, draft: Any, structure: Any, **parameters: Any) -> Any:
    return [list(parameters.values()) for _ in target]


def outcomes(kernel: Any, structure: Any = None, tokens: Any = (0, 1), **parameters: Any) -> Any:
    text = KernelText(kernel, "tried", numbers if parameters else None)
    return text.outcomes(structure or chain(1), ROWS, DRAFTS, tokens, **parameters)


def below(step: Any, nodes: Any) -> Any:
    if step.coin[1] * 3 < 1:
        return 1, -1
    return 0, 2


def drawn(weights: Any, coin: Any) -> Any:
    total = 0.0
    for weight in weights:
        total += weight
    level = coin * total
    for token in range(len(weights)):
        level -= weights[token]
        if level < 0.0:
            return token
    return -1


@numba.njit
def compiled(weights: Any, coin: Any) -> Any:
    return drawn(weights, coin)


def ratio(step: Any, nodes: Any) -> Any:
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        if step.coin[i] * step.draft[row, x] >= step.target[row, x]:
            for y in range(step.target.shape[1]):
                step.room[0, y] = max(step.target[row, y] - step.draft[row, y], 0.0)
            return i - 1, compiled(step.room[0], step.coin[0])
    return nodes - 1, -1


def test_coin__forks_and_splits_its_interval() -> None:
    assert outcomes(below) == {(1, -1): Fraction(1, 3), (0, 2): Fraction(2, 3)}


def test_ratio__law_with_helpers_and_working_space() -> None:
    # Token 1: accepted with (1/3) / (1/2); the excess of the target is all at token 0.
    assert outcomes(ratio) == {(1, -1): Fraction(2, 3), (0, 0): Fraction(1, 3)}


def test_law__is_in_the_numbers_of_the_rows() -> None:
    text = KernelText(ratio, "ratio")
    for number in (Fraction, lambda value: fmpq(value.numerator, value.denominator)):
        target, draft = (
            np.array([[number(value) for value in row] for row in rows], dtype=object)
            for rows in (ROWS, DRAFTS)
        )
        law = text.law(chain(1), target, draft, np.array([0, 1]))
        assert type(law[0, 0]) is type(target[0, 0])
        assert [[str(value) for value in row] for row in law] == [["1/3", "0", "0"], ["1/6", "1/2", "0"]]
    floats = text.law(chain(1), target.astype(float), draft.astype(float), np.array([[0, 1], [0, 0]]))
    assert floats.shape == (2, 2, 3)
    np.testing.assert_allclose(floats[0], law.astype(float), atol=1e-15)


def reused(step: Any, nodes: Any) -> Any:
    # The same coin tests the token and, where it fails, draws the other one.
    if step.coin[1] < 0.5:
        return 1, -1
    return 0, 1 if step.coin[1] < 0.75 else 2


def test_reused_coin__is_seen() -> None:
    assert outcomes(reused) == {(1, -1): HALF, (0, 1): Fraction(1, 4), (0, 2): Fraction(1, 4)}


def literals(step: Any, nodes: Any) -> Any:
    part = 1 / 3
    share: float = 0.1
    share /= 2
    if step.coin[1] < part:
        return 0, 0
    return 0, 1 if step.coin[0] < share + THIRD - THIRD else 2


def test_numbers__are_exact_in_quotients_and_as_written_in_decimals() -> None:
    law = outcomes(literals)
    assert law[0, 0] == Fraction(1, 3)
    assert law[0, 1] == Fraction(2, 3) * Fraction(0.1) / 2


def by_numpy(step: Any, nodes: Any) -> Any:
    kept = np.minimum(step.target[0], step.draft[0])
    sums = np.zeros(len(kept))
    sums[0] = kept.sum()
    return 0, 0 if step.coin[0] < sums[0] else 1


def test_numpy__works_on_rationals() -> None:
    assert outcomes(by_numpy)[0, 0] == sum(map(min, ROWS[0], DRAFTS[0]))


@given(st.lists(st.fractions(0, 1), min_size=1, max_size=6), st.fractions(-2, 2), st.fractions(-2, 2))
def test_coin__any_comparisons_of_linear_functions_give_the_right_masses(
    bounds: list[Fraction], scale: Fraction, shift: Fraction
) -> None:
    from specsim.validation.kernel_text.coins import Coin, Forks, every_run
    from specsim.validation.kernel_text.reading import exact

    forks = Forks()
    coin = Coin(forks, 1) * exact(scale) + exact(shift)
    found: dict[tuple[bool, ...], Any] = {}
    for answers, mass in every_run(forks, lambda: tuple(coin < exact(bound) for bound in bounds)):
        assert answers not in found
        found[answers] = mass
    assert sum(found.values()) == 1
    # Reference: the masses between all points at which an answer changes.
    points = {Fraction(0), Fraction(1)}
    points |= {min(max((bound - shift) / scale, 0), 1) for bound in bounds if scale}
    cuts = sorted(points)
    wanted: dict[tuple[bool, ...], Fraction] = {}
    for low, high in pairwise(cuts):
        answers = tuple((low + high) / 2 * scale + shift < bound for bound in bounds)
        wanted[answers] = wanted.get(answers, Fraction(0)) + high - low
    assert {key: str(mass) for key, mass in found.items()} == {key: str(mass) for key, mass in wanted.items()}


def two_coins(step: Any, nodes: Any) -> Any:
    return 0, 0 if step.coin[0] < step.coin[1] else 1


def index_of_coin(step: Any, nodes: Any) -> Any:
    return 0, int(step.coin[0] * 3)


def root(step: Any, nodes: Any) -> Any:
    return 0, 0 if step.coin[0] < math.sqrt(step.target[0, 0]) else 1


def numpy_root(step: Any, nodes: Any) -> Any:
    return 0, 0 if step.coin[0] < np.sqrt(step.target[0, 0]) else 1


def endless(step: Any, nodes: Any) -> Any:
    while True:
        pass


def raw(step: Any, nodes: Any) -> Any:
    return 0, step.key[0]


def squared(step: Any, nodes: Any) -> Any:
    return 0, 0 if step.coin[0] * step.coin[0] < 0.5 else 1


CANNOT = {
    two_coins: "compares or adds two coins; compare a coin with numbers of the rows only",
    index_of_coin: "turns a coin into another number",
    root: "uses math.sqrt of a row or a coin",
    numpy_root: "uses np.sqrt",
    endless: "loops more than 100000 times",
    raw: "reads raw random words; use step.coin",
    squared: "multiplies two coins",
}


def no_node(step: Any, nodes: Any) -> Any:
    if step.coin[1] < 0.5:
        return 0, 0
    return nodes, -1


def no_token(step: Any, nodes: Any) -> Any:
    return 0, 3


def token_at_leaf(step: Any, nodes: Any) -> Any:
    return nodes - 1, 0


def nothing_emitted(step: Any, nodes: Any) -> Any:
    return 0, -1


def no_pair(step: Any, nodes: Any) -> Any:
    return 0


def beyond(step: Any, nodes: Any) -> Any:
    return 0, int(step.room[99, 0])


def unwritten(step: Any, nodes: Any) -> Any:
    step.room[0, 1] += step.target[0, 1]
    return 0, 0


def past_the_cut(step: Any, nodes: Any) -> Any:
    # Forgets that the horizon may have cut the children off.
    return 0, 0 if step.coin[step.first[1]] < 0.5 else 1


def leaf_row(step: Any, nodes: Any) -> Any:
    return 0, 0 if step.target[1, 0] < 0.5 else 1


def divided(step: Any, nodes: Any) -> Any:
    return 0, 0 if step.coin[0] < step.target[0, 0] / (step.target[0, 0] - 0.5) else 1


def misspelled(step: Any, nodes: Any) -> Any:
    return 0, step.tokens[1]


WRONG = {
    no_node: "returns node 2, and there are 2; return the last accepted node, 0 to 1",
    no_token: "returns token 3, and the vocabulary has 3",
    token_at_leaf: "returns token 0 at node 1, a leaf; return -1 there",
    nothing_emitted: "returns -1 at node 0, which is not a leaf; draw the final token",
    no_pair: "returns 0; return two whole numbers",
    beyond: "reads or writes beyond an array",
    unwritten: "reads a number that is not there; write to step.room",
    past_the_cut: "reads a number that is not there",
    leaf_row: "reads a number that is not there",
    divided: "divides by 0; test the divisor first",
    misspelled: "fails with AttributeError",
}


@pytest.mark.parametrize(
    ("kernel", "message"), CANNOT.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_text__beyond_enumeration_is_refused_with_its_line(kernel: Any, message: str) -> None:
    with pytest.raises(CannotEnumerate) as caught:
        outcomes(kernel)
    assert message in str(caught.value)
    assert f"rule tried, {__file__}, line " in str(caught.value)


@pytest.mark.parametrize(
    ("kernel", "message"), WRONG.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_text__that_breaks_the_contract_is_refused_with_its_line(kernel: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        outcomes(kernel)
    assert not isinstance(caught.value, CannotEnumerate)
    assert message in str(caught.value)
    assert f"rule tried, {__file__}, line " in str(caught.value)


def test_text__names_the_line_of_the_return() -> None:
    line = no_node.__code__.co_firstlineno + 3
    with pytest.raises(InputError, match=rf"line {line} \(return nodes, -1\): returns node 2"):
        outcomes(no_node)


def test_text__needs_a_file() -> None:
    scope: dict[str, Any] = {}
    exec("def hidden(step, nodes):\n    return 0, 0", scope)
    with pytest.raises(InputError, match="the text of hidden cannot be found; write it as a def in a file"):
        KernelText(scope["hidden"], "hidden")
    with pytest.raises(InputError, match="rule number: is 3; give a Python function"):
        KernelText(3, "number")


def parent_rows(step: Any, nodes: Any) -> Any:
    node = 0
    for _ in range(step.param.shape[1]):
        children = range(min(step.first[node], nodes), min(step.first[node + 1], nodes))
        for child in children:
            if step.coin[child] < step.param[step.row[node], 0]:
                node = child
                break
        else:
            break
    if step.first[node] < nodes and step.first[node + 1] > step.first[node]:
        return node, 0
    return node, -1


def test_parameters__are_read_by_row_and_a_leaf_accepts() -> None:
    law = outcomes(parent_rows, chain(1), factor=0.25)
    assert law == {(1, -1): Fraction(1, 4), (0, 0): Fraction(3, 4)}
    law = outcomes(parent_rows, levels((2,)), (0, 1, 2), factor=Fraction(1, 3))
    assert law == {(1, -1): Fraction(1, 3), (2, -1): Fraction(2, 9), (0, 0): Fraction(4, 9)}
