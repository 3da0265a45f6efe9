"""The rule ``lenience`` as published (2211.17192, Appendix A.5)."""

from fractions import Fraction

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


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens, lenience: Fraction) -> Program:
    """Test the drafted tokens in turn against a smaller draft; replace the first failure as usual."""
    for node in range(structure.depth):
        x = tokens[node + 1]
        t, scaled = target[node][x], lenience * draft[node][x]
        accepted = yield coin(ZERO if t == 0 else ONE if scaled <= t else t / scaled)
        if not accepted:
            final = yield draw(normalised(positive_part(target[node], draft[node])))
            return node, final
    return structure.depth, None
