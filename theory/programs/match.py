"""The rule ``match`` as published (z-lab/dflash#74; 2310.15141, Section 3)."""

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import Program, Rows, Tokens, draw


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens) -> Program:
    """Draw from the target at every node, and descend into the first child that is this token."""
    node = 0
    while structure.children(node):
        y = yield draw(target[node])
        for child in structure.children(node):
            if tokens[child] == y:
                node = child
                break
        else:
            return node, y
    return node, None
