"""The rule ``typical`` as published (2401.10774, section 3.3.1)."""

import math
from fractions import Fraction

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import Program, Row, Rows, Tokens, draw


def program(
    structure: Structure,
    target: Rows,
    draft: Rows,
    tokens: Tokens,
    epsilon: Fraction,
    delta: Fraction,
    residual: str,
) -> Program:
    """Accept the drafted tokens while the target finds them typical; no coin is tossed."""
    for node in range(structure.depth):
        row = target[node]
        if row[tokens[node + 1]] <= min(epsilon, delta * _perplexity(row) ** -1):
            if residual == "likeliest":
                return node, row.index(max(row))
            final = yield draw(row)
            return node, final
    return structure.depth, None


def _perplexity(row: Row) -> Fraction:
    """Return exp(entropy), rounded to a float."""
    return Fraction(math.exp(math.fsum(-float(t) * math.log(float(t)) for t in row if t)))
