"""The rule ``summed-coin`` as it was published (sgl-project/sglang#7207)."""

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import ONE, ZERO, Law, Program, Rows, Tokens, draw, without


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens) -> Program:
    """Descend into the first child at which the summed target mass of the children passes one coin."""
    node = 0
    while structure.children(node):
        children = structure.children(node)
        summed = ZERO
        law: Law = []
        for child in children:
            upto = min(ONE, summed + target[node][tokens[child]])
            law.append((child, upto - summed))
            summed = upto
        chosen = yield [*law, (None, 1 - summed)]
        if chosen is None:
            final = yield draw(without(target[node], {tokens[child] for child in children}))
            return node, final
        node = chosen
    return node, None
