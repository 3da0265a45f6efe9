"""The rule ``drop-unlikely``: a draft is cut before a token that the draft model finds unlikely."""

from fractions import Fraction

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import ONE, Program, Rows, Tokens, coin, draw, normalised, positive_part


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens, least: Fraction) -> Program:
    """Test the submitted tokens in turn; after the last of them a token of the target follows."""
    for node in range(structure.depth):
        x = tokens[node + 1]
        if draft[node][x] < least:
            final = yield draw(target[node])
            return node, final
        accepted = yield coin(min(ONE, target[node][x] / draft[node][x]))
        if not accepted:
            final = yield draw(normalised(positive_part(target[node], draft[node])))
            return node, final
    return structure.depth, None
