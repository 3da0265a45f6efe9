"""The rule ``block`` as published (2403.10444, Algorithm 2)."""

from fractions import Fraction

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import ONE, Program, Rows, Tokens, coin, draw, normalised, positive_part


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens) -> Program:
    """Toss a coin for every prefix; the longest one that succeeds is accepted."""
    length = structure.depth
    weight = [ONE]
    for i in range(length):
        x = tokens[i + 1]
        weight.append(min(ONE, weight[i] * target[i][x] / draft[i][x]))

    def excess(i: int) -> list[Fraction]:
        return positive_part([weight[i] * t for t in target[i]], draft[i])

    accepted = 0
    for i in range(1, length + 1):
        threshold = weight[i]
        if i < length:
            mass = sum(excess(i))
            # 0 / 0: the weight is 1 and the rows are equal, and whatever follows succeeds.
            threshold = mass / (mass + 1 - weight[i]) if mass or weight[i] < 1 else ONE
        if (yield coin(threshold)):
            accepted = i
    if accepted == length:
        return length, None
    final = yield draw(normalised(excess(accepted)))
    return accepted, final
