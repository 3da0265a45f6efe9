"""The rule ``over-acceptance`` as published (2411.00841, section 4.2: Decoding-OPT and Decoding-UNO)."""

from fractions import Fraction

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import ONE, Program, Rows, Tokens, coin, draw, normalised, positive_part


def program(
    structure: Structure, target: Rows, draft: Rows, tokens: Tokens, epsilon: Fraction, residual: str
) -> Program:
    """Test the drafted tokens in turn with epsilon added to the target."""
    for node in range(structure.depth):
        x = tokens[node + 1]
        accepted = yield coin(min(ONE, (target[node][x] + epsilon) / draft[node][x]))
        if not accepted:
            if residual == "target":
                final = yield draw(target[node])
            elif residual == "draft":
                final = yield draw(draft[node])
            else:
                final = yield draw(normalised(positive_part(target[node], draft[node])))
            return node, final
    return structure.depth, None
