"""The rule ``block-token-residual``: 2403.10444, Algorithm 2, with the residual of 2211.17192."""

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import ONE, Program, Rows, Tokens, coin, draw, normalised, positive_part


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens) -> Program:
    """Toss a coin for every prefix, accept the longest one that succeeds; the residual has no weight."""
    weight, accepted = ONE, 0
    for i in range(1, structure.depth + 1):
        x = tokens[i]
        weight = min(ONE, weight * target[i - 1][x] / draft[i - 1][x])
        threshold = weight
        if i < structure.depth:
            mass = sum(positive_part([weight * t for t in target[i]], draft[i]))
            threshold = mass / (mass + 1 - weight) if mass or weight < 1 else ONE
        if (yield coin(threshold)):
            accepted = i
    if accepted == structure.depth:
        return accepted, None
    final = yield draw(normalised(positive_part(target[accepted], draft[accepted])))
    return accepted, final
