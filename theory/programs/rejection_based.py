"""The rule ``rejection-based`` as published (2411.00841, Algorithm 2)."""

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import Program, Rows, Tokens, coin, draw, normalised


def program(
    structure: Structure, target: Rows, draft: Rows, tokens: Tokens, acceptance: Rows, residual: Rows
) -> Program:
    """Test the drafted tokens in turn by the table of acceptances; replace the first failure by the other."""
    for node in range(structure.depth):
        accepted = yield coin(acceptance[node][tokens[node + 1]])
        if not accepted:
            # Rows that were given as floats may miss 1 by rounding.
            final = yield draw(normalised(residual[node]))
            return node, final
    return structure.depth, None
