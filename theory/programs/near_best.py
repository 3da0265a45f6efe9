"""The rule ``near-best``, relaxed acceptance as NVIDIA/TensorRT-LLM#3865 has it."""

from fractions import Fraction

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import ONE, Program, Rows, Tokens


def program(
    structure: Structure, target: Rows, draft: Rows, tokens: Tokens, top: int, delta: Fraction
) -> Program:
    """Accept a token while it is a candidate; no coin is tossed."""
    for node in range(structure.depth):
        row = target[node]
        best, *others = sorted(range(len(row)), key=lambda y: (-row[y], y))[:top]
        candidates = [best, *(y for y in others if row[y] >= row[best] - delta)]
        if tokens[node + 1] not in candidates:
            final = yield [(best, ONE)]
            return node, final
    return structure.depth, None
