"""The rule ``block-kept-coins`` as vLLM 0.30.0 has it: a coin for each position, looked at by every round."""

from fractions import Fraction

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import (
    ONE,
    ZERO,
    KeepingProgram,
    Rows,
    Tokens,
    coin,
    draw,
    normalised,
    positive_part,
)


def program(
    structure: Structure, target: Rows, draft: Rows, tokens: Tokens, kept: tuple[Fraction, ...] = ()
) -> KeepingProgram:
    """Apply 2403.10444, Algorithm 2, to coins that are known to be at least the numbers in `kept`.

    Returns, besides the stop and the final token, what is known of the coins after the final token: they
    have failed, and the next round tosses none of them again.
    """
    length = structure.depth
    least = {i: kept[i - 1] if i <= len(kept) else ZERO for i in range(1, length + 1)}
    weight, accepted = [ONE], 0

    def excess(i: int) -> list[Fraction]:
        return positive_part([weight[i] * t for t in target[i]], draft[i])

    for i in range(1, length + 1):
        x = tokens[i]
        weight.append(min(ONE, weight[-1] * target[i - 1][x] / draft[i - 1][x]))
        threshold = weight[i]
        if i < length:
            mass = sum(excess(i))
            threshold = mass / (mass + 1 - weight[i]) if mass or weight[i] < 1 else ONE
        if threshold > least[i] and (yield coin((threshold - least[i]) / (1 - least[i]))):
            accepted = i
        else:
            least[i] = max(least[i], threshold)
    if accepted == length:
        return length, None, ()
    final = yield draw(normalised(excess(accepted)))
    return accepted, final, tuple(least[i] for i in range(accepted + 2, length + 1))
