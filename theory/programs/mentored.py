"""The rule ``mentored`` (2609.30474), with the row found among clipped drafts by search.

The row of largest overlap with the draft whose divergence from the target is bounded is the draft clipped to
between ``low`` and ``high`` times the target, ``low <= 1 <= high``, with sum 1.
"""

import math
from fractions import Fraction
from functools import lru_cache

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import ONE, Program, Rows, Tokens, coin, draw, normalised, positive_part


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens, divergence: Fraction) -> Program:
    """Decode the nearest row of bounded divergence instead of the target."""
    for node in range(structure.depth):
        x = tokens[node + 1]
        aimed = list(nearest(tuple(target[node]), tuple(draft[node]), divergence))
        accepted = yield coin(min(ONE, aimed[x] / draft[node][x]))
        if not accepted:
            final = yield draw(normalised(positive_part(aimed, draft[node])))
            return node, final
    return structure.depth, None


@lru_cache(maxsize=4096)
def nearest(
    target: tuple[Fraction, ...], draft: tuple[Fraction, ...], divergence: Fraction
) -> tuple[Fraction, ...]:
    """Return the row by bisection of the upper factor; of each trial row the sum is exactly 1."""
    if divergence == 0:
        # Rounding hides small divergences, which are quadratic.
        return target
    low, high = ONE, max(ONE, *(d / t for t, d in zip(target, draft, strict=True) if t))
    if _divergence(clipped(target, draft, high), target) <= divergence:
        return clipped(target, draft, high)
    for _ in range(52):
        middle = (low + high) / 2
        if _divergence(clipped(target, draft, middle), target) <= divergence:
            low = middle
        else:
            high = middle
    return clipped(target, draft, low)


def clipped(
    target: tuple[Fraction, ...], draft: tuple[Fraction, ...], high: Fraction
) -> tuple[Fraction, ...]:
    """Return the draft below `high` times the target, and above the multiple that makes the sum 1."""
    capped = [min(d, high * t) for t, d in zip(target, draft, strict=True)]
    order = sorted((y for y, t in enumerate(target) if t), key=lambda y: capped[y] / target[y])
    # Lifting other tokens than the right ones needs a larger multiple.
    parts = [order[:k] for k in range(1, len(order) + 1)]
    low = min(
        (1 - sum(capped) + sum(capped[y] for y in part)) / sum((target[y] for y in part), Fraction(0))
        for part in parts
    )
    return tuple(max(c, low * t) for c, t in zip(capped, target, strict=True))


def _divergence(row: tuple[Fraction, ...], target: tuple[Fraction, ...]) -> float:
    return math.fsum(float(p) * math.log(float(p / t)) for p, t in zip(row, target, strict=True) if p)
