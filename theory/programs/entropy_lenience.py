"""The rule ``entropy-lenience`` as vllm-project/vllm-ascend#9772 has it, less its 1e-10 in the logarithm."""

import math
from collections.abc import Iterator
from fractions import Fraction

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import (
    ONE,
    ZERO,
    Program,
    Rows,
    Tokens,
    coin,
    draw,
    normalised,
    positive_part,
)


def program(
    structure: Structure, target: Rows, draft: Rows, tokens: Tokens, ceiling: Fraction, rate: Fraction
) -> Program:
    """Multiply each coin by a number that falls with the entropy of the target."""
    for node in range(structure.depth):
        x, row = tokens[node + 1], target[node]
        entropy = -math.fsum(_terms(row))
        multiple = min(Fraction(math.exp(-float(rate) * entropy)), ceiling)
        below = multiple * draft[node][x]
        accepted = yield coin(ZERO if row[x] == 0 else ONE if below <= row[x] else row[x] / below)
        if not accepted:
            final = yield draw(normalised(positive_part(row, draft[node])))
            return node, final
    return structure.depth, None


def _terms(row: list[Fraction]) -> Iterator[float]:
    for t in row:
        if t:
            yield float(t) * math.log(float(t))
