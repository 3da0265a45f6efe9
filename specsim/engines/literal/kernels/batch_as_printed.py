"""The kernel of the rule ``batch-as-printed``."""

import numpy as np

from specsim.engines.literal.helpers import children, copy, draw_excess, draw_weights, subtract


def prepare(target, draft, structure, slip):
    """Return for each row whether lines 25-29 stand inside the loop: ``(R, 1)``."""
    return np.full((len(target), 1), float(slip == "inside-loop"))


def verify(step, nodes):
    """2411.00841, Algorithm 4 with its slips: line 28 subtracts the draft once more than line 19 did.

    Inside the loop, lines 25-29 end the round at the first failure. After the root, the walk goes along the
    accepted path by the ratio rule.
    """
    row, mass, weights, node = step.row[0], 1.0, step.room[0], 0
    copy(step.target[row], weights)
    for child in children(step, 0, nodes):
        x = step.token[child]
        if step.coin[child] * mass * step.draft[row, x] < weights[x]:
            node = child
            break
        mass = subtract(weights, mass, step.draft[row])
        if step.param[row, 0] == 1:
            break
    if node == 0:
        subtract(weights, mass, step.draft[row])
        return 0, draw_weights(weights, step.coin[0])
    while len(children(step, node, nodes)) > 0:
        child, row = step.first[node], step.row[node]
        x = step.token[child]
        if step.coin[child] * step.draft[row, x] >= step.target[row, x]:
            return node, draw_excess(step, row, 1.0)
        node = child
    return node, -1
