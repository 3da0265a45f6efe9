"""The rule ``recursive-any-order`` as published (2305.09781, Algorithm 2)."""

from fractions import Fraction

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import ONE, Program, Rows, Tokens, coin, draw, normalised, positive_part


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens) -> Program:
    """Test an untested child of the node at random; each failure replaces the target row by its residual."""
    node = 0
    while structure.children(node):
        row = target[node]
        untested = list(structure.children(node))
        while untested:
            child = yield [(child, Fraction(1, len(untested))) for child in untested]
            x = tokens[child]
            accepted = yield coin(min(ONE, row[x] / draft[node][x]))
            if accepted:
                node = child
                break
            row = normalised(positive_part(row, draft[node]))
            untested.remove(child)
        else:
            final = yield draw(row)
            return node, final
    return node, None
