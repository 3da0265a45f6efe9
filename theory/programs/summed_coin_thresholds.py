"""The rule ``summed-coin-thresholds`` as sgl-project/sglang#7207 has it with its two thresholds."""

from fractions import Fraction

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import ONE, ZERO, Law, Program, Rows, Tokens, draw, without


def program(
    structure: Structure, target: Rows, draft: Rows, tokens: Tokens, summed: Fraction, single: Fraction
) -> Program:
    """Descend into the first child that is likely alone, or at which the sum passes a part of the coin."""
    node = 0
    while children := structure.children(node):
        row, mass, covered = target[node], ZERO, ZERO
        law: Law = []
        for child in children:
            mass += row[tokens[child]]
            passed = min(ONE, mass / summed) if summed else Fraction(mass > 0)
            upto = ONE if row[tokens[child]] >= single else max(covered, passed)
            law.append((child, upto - covered))
            covered = upto
        chosen = yield [*law, (None, 1 - covered)]
        if chosen is None:
            final = yield draw(without(row, {tokens[child] for child in children}))
            return node, final
        node = chosen
    return node, None
