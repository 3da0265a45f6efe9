"""The rule ``ensemble``: speculative decoding of a mixture of the two models (2405.19261, section 2)."""

from fractions import Fraction

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import ONE, Program, Rows, Tokens, coin, draw, normalised, positive_part


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens, share: Fraction) -> Program:
    """Decode the mixture instead of the target."""
    for node in range(structure.depth):
        x = tokens[node + 1]
        mixture = [share * t + (1 - share) * d for t, d in zip(target[node], draft[node], strict=True)]
        accepted = yield coin(min(ONE, mixture[x] / draft[node][x]))
        if not accepted:
            final = yield draw(normalised(positive_part(mixture, draft[node])))
            return node, final
    return structure.depth, None
