"""The rule ``confidence-tree``: the tree is a function of the draft's rows (2406.16858)."""

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import ONE, Program, Rows, Tokens, draw


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens, size: int) -> Program:
    """Keep the drafted tokens whose paths are likeliest, then match draws of the target on what is left."""
    score = [ONE]
    for child, parent in enumerate(structure.parents[1:], start=1):
        score.append(score[parent] * draft[parent][tokens[child]])
    kept = sorted(range(1, len(score)), key=lambda child: (-score[child], child))[:size]
    node = 0
    while structure.children(node):
        y = yield draw(target[node])
        for child in structure.children(node):
            if child in kept and tokens[child] == y:
                node = child
                break
        else:
            return node, y
    return node, None
