"""The rule ``recursive`` as published (2305.09781; 2401.06706; 2411.00841, Algorithm 4, at the root)."""

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import ONE, Program, Rows, Tokens, coin, draw, normalised, positive_part


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens) -> Program:
    """Test the children of a node in turn; each failure replaces the target row by its residual."""
    node = 0
    while structure.children(node):
        row = target[node]
        for child in structure.children(node):
            x = tokens[child]
            accepted = yield coin(min(ONE, row[x] / draft[node][x]))
            if accepted:
                node = child
                break
            row = normalised(positive_part(row, draft[node]))
        else:
            final = yield draw(row)
            return node, final
    return node, None
