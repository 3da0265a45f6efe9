"""The rule ``greedy-drafts`` as published (2502.18779)."""

from collections.abc import Sequence
from fractions import Fraction

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import (
    ONE,
    Program,
    Row,
    Rows,
    Tokens,
    coin,
    draw,
    normalised,
    positive_part,
    without,
)


def propose(row: Row, before: Sequence[int], children: int) -> Row:
    """Take the likeliest tokens in turn, the lower one first among equals; draw the last from the others."""
    if len(before) == children - 1:
        return without(row, before)
    likeliest = sorted(range(len(row)), key=lambda y: (-row[y], y))[len(before)]
    return [Fraction(y == likeliest) for y in range(len(row))]


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens) -> Program:
    """Test the last child by the law it was drawn from; a residual draw may be one of the other children."""
    node = 0
    while structure.children(node):
        *fixed, last = structure.children(node)
        drafts = without(draft[node], {tokens[child] for child in fixed})
        x = tokens[last]
        accepted = yield coin(min(ONE, target[node][x] / drafts[x]))
        if accepted:
            node = last
            continue
        y = yield draw(normalised(positive_part(target[node], drafts)))
        for child in fixed:
            if tokens[child] == y:
                node = child
                break
        else:
            return node, y
    return node, None
