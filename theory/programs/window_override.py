"""The rule ``window-override`` as vllm-project/vllm#53987 has it (FLy, 2511.22972)."""

import math
from fractions import Fraction

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import ONE, Program, Rows, Tokens, coin, draw, normalised, positive_part


def program(
    structure: Structure,
    target: Rows,
    draft: Rows,
    tokens: Tokens,
    window: int,
    entropy: Fraction,
    top: int,
) -> Program:
    """Test in turn; an uncertain failure is overridden when the next tokens pass their own tests."""
    node, depth = 0, structure.depth

    def test(at: int) -> list[tuple[bool, Fraction]]:
        x = tokens[at + 1]
        return coin(min(ONE, target[at][x] / draft[at][x]))

    while node < depth:
        if (yield test(node)):
            node += 1
            continue
        row = target[node]
        likeliest = sorted(map(float, row))[-top:]
        uncertain = -math.fsum(t * math.log(t) for t in likeliest if t) >= entropy
        overridden = uncertain and row[tokens[node + 1]] > 0 and node + window < depth
        for later in range(node + 1, node + 1 + window):
            overridden = overridden and (yield test(later))
        if not overridden:
            final = yield draw(normalised(positive_part(row, draft[node])))
            return node, final
        node += 1 + window
    return depth, None
