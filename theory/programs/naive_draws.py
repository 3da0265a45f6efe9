"""The rule ``naive-draws`` as it was seen (foundation-model-stack/fms-extras#12)."""

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import Program, Rows, Tokens, draw


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens) -> Program:
    """Draw from the target once for each child; where none is matched, the first draw is emitted."""
    node = 0
    while structure.children(node):
        drawn = []
        for child in structure.children(node):
            y = yield draw(target[node])
            if tokens[child] == y:
                node = child
                break
            drawn.append(y)
        else:
            return node, drawn[0]
    return node, None
