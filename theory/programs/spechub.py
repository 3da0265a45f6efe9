"""The rule ``spechub`` as published (2411.05289), for two children of a node.

A node with one child is verified as in ``ratio``; children after the second are ignored.
"""

from collections.abc import Sequence
from fractions import Fraction

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import (
    ONE,
    ZERO,
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
    """Draw the first child; the second is the likeliest token, or another one if that was the first."""
    if len(before) != 1:
        return row
    likeliest = _likeliest(row)
    if before[0] == likeliest:
        return without(row, before)
    return [Fraction(y == likeliest) for y in range(len(row))]


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens) -> Program:
    """Test the other token by the probability of its pair, then the likeliest one by what is left."""
    node = 0
    while structure.children(node):
        left, first, *more = target[node], *structure.children(node)
        hub = _likeliest(draft[node])
        # Probability of the pairs (y, hub) and (hub, y), for each y.
        pairs = [ZERO if y == hub else mass for y, mass in enumerate(draft[node])]
        if not more:
            pairs[hub], turned = draft[node][hub], [ZERO for _ in pairs]
        else:
            turned = [draft[node][hub] * mass for mass in without(draft[node], {hub})]
        swapped = bool(more) and tokens[first] == hub
        other, likely = (more[0], first) if swapped else (first, more[0] if more else None)
        # What the tests of (y, hub), then of (hub, y), take of the target, and the pairs that they leave.
        for laws, tested in ((pairs, not swapped), (turned, swapped)):
            if tested:
                x = tokens[other]
                accepted = yield coin(min(ONE, left[x] / laws[x]))
                if accepted:
                    node = other
                    break
            left, laws[:] = positive_part(left, laws), positive_part(laws, left)
        else:
            # The hub is accepted as the first child as often as it can be, then as the second.
            for laws, tested in ((turned, swapped), (pairs, not swapped)):
                mass = sum(laws)
                if likely is not None and tested:
                    accepted = yield coin(min(ONE, left[hub] / mass))
                    if accepted:
                        node = likely
                        assert tokens[node] == hub
                        break
                if more:
                    left = [max(t - mass, ZERO) if y == hub else t for y, t in enumerate(left)]
            else:
                final = yield draw(normalised(left))
                return node, final
    return node, None


def _likeliest(row: Row) -> int:
    return max(range(len(row)), key=lambda y: (row[y], -y))
