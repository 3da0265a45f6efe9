"""The rule ``ratio`` as published (2211.17192, Algorithm 1; 2411.00841, Algorithm 1)."""

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import ONE, Program, Rows, Tokens, coin, draw, normalised, positive_part


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens) -> Program:
    """Test the drafted tokens in turn; replace the first failure by the residual of its rows."""
    for node in range(structure.depth):
        x = tokens[node + 1]
        accepted = yield coin(min(ONE, target[node][x] / draft[node][x]))
        if not accepted:
            final = yield draw(normalised(positive_part(target[node], draft[node])))
            return node, final
    return structure.depth, None
