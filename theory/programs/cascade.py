"""The rule ``cascade`` as published (2405.19261, the deferral rule OPT)."""

from fractions import Fraction

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import ONE, Program, Rows, Tokens, coin, draw, normalised, positive_part


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens, alpha: Fraction) -> Program:
    """Verify against the target where the draft defers to it, and keep the draft elsewhere."""
    for node in range(structure.depth):
        distance = sum(positive_part(target[node], draft[node]))
        deferred = max(draft[node]) < max(target[node]) - alpha * distance
        aimed = target[node] if deferred else draft[node]
        x = tokens[node + 1]
        accepted = yield coin(min(ONE, aimed[x] / draft[node][x]))
        if not accepted:
            final = yield draw(normalised(positive_part(aimed, draft[node])))
            return node, final
    return structure.depth, None
