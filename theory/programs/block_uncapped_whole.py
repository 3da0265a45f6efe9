"""The rule ``block-uncapped-whole`` as the code published with 2601.05724 has it."""

from fractions import Fraction

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import ONE, Program, Rows, Tokens, coin, draw, normalised, positive_part


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens) -> Program:
    """Test the whole draft by the product of its ratios; else walk back to the first test that passes."""
    length = structure.depth
    product, weight = ONE, [ONE]
    for i in range(length):
        ratio = target[i][tokens[i + 1]] / draft[i][tokens[i + 1]]
        product *= ratio
        weight.append(min(ONE, weight[i] * ratio))
    if (yield coin(min(ONE, product))):
        return length, None

    def excess(i: int) -> list[Fraction]:
        return positive_part([weight[i] * t for t in target[i]], draft[i])

    stop = length - 1
    while stop > 0:
        mass = sum(excess(stop))
        # 0 / 0: the weight is 1 and the rows are equal.
        stays = mass / (mass + 1 - weight[stop]) if mass or weight[stop] < 1 else ONE
        if (yield coin(stays)):
            break
        stop -= 1
    final = yield draw(normalised(excess(stop)))
    return stop, final
