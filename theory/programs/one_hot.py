"""The rule ``one-hot`` as published (2211.17192 with a deterministic draft; SafeAILab/EAGLE#329 on trees)."""

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import Program, Rows, Tokens, coin, draw, without


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens) -> Program:
    """Accept a child with the target's mass of it; a failure takes its token out of the target."""
    node = 0
    while structure.children(node):
        row = target[node]
        for child in structure.children(node):
            accepted = yield coin(row[tokens[child]])
            if accepted:
                node = child
                break
            row = without(row, {tokens[child]})
        else:
            final = yield draw(row)
            return node, final
    return node, None
