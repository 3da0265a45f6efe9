"""The rule ``k-seq`` as published (2310.15141, Algorithm 2), with a rational factor.

The paper's factor solves ``1 - (1 - b)^K = factor * b``, ``b = sum min(target / factor, draft)``, and is
irrational in general. The rule is lossless for every factor whose left side is not above the right one: then
the last residual is not negative. Here the factor is the least such point of a grid, or 1.
"""

from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import (
    ONE,
    ZERO,
    Program,
    Rows,
    Tokens,
    coin,
    draw,
    normalised,
    positive_part,
)

Weights: TypeAlias = tuple[Fraction, ...]


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens, halvings: int = 60) -> Program:
    """Test every child with the target divided by the factor; one residual after all have failed."""
    node = 0
    while structure.children(node):
        row, drafts, children = target[node], draft[node], structure.children(node)
        factor = least_factor(tuple(row), tuple(drafts), len(children), halvings)
        for child in children:
            x = tokens[child]
            accepted = yield coin(min(ONE, row[x] / (factor * drafts[x])))
            if accepted:
                node = child
                break
        else:
            tests = _expected_tests(_acceptance(row, drafts, factor), len(children))
            spent = [tests * min(t / factor, d) for t, d in zip(row, drafts, strict=True)]
            final = yield draw(normalised(positive_part(row, spent)))
            return node, final
    return node, None


@lru_cache(maxsize=1024)
def least_factor(target: Weights, draft: Weights, children: int, halvings: int) -> Fraction:
    """Return a factor between 1 and `children` that leaves no negative residual, near the least one."""

    def serves(factor: Fraction) -> bool:
        return _expected_tests(_acceptance(target, draft, factor), children) <= factor

    low, high = Fraction(1), Fraction(children)
    if serves(low):
        return low
    for _ in range(halvings):
        middle = (low + high) / 2
        low, high = (low, middle) if serves(middle) else (middle, high)
    return high


def _acceptance(target: Iterable[Fraction], draft: Iterable[Fraction], factor: Fraction) -> Fraction:
    """Return the probability that one child is accepted."""
    return sum((min(t / factor, d) for t, d in zip(target, draft, strict=True)), ZERO)


def _expected_tests(acceptance: Fraction, children: int) -> Fraction:
    """Return the expected number of tests at a node."""
    return sum(((1 - acceptance) ** k for k in range(children)), ZERO)
