"""The kernel of the rule ``summed-coin-thresholds``."""

import numpy as np

from specsim.engines.literal.helpers import children, copy, draw_weights


def prepare(target, draft, structure, summed, single):
    """Return both thresholds for each row: ``(R, 2)``."""
    return np.tile(np.array([summed, single], dtype=object), (len(target), 1))


def verify(step, nodes):
    """sgl-project/sglang#7207: descend when the sum passes a part of the coin, or alone."""
    node, weights = 0, step.room[0]
    while len(children(step, node, nodes)) > 0:
        row, coin, mass = step.row[node], step.coin[step.first[node]], 0.0
        for child in children(step, node, nodes):
            alone = step.target[row, step.token[child]]
            mass += alone
            if alone >= step.param[row, 1] or coin * step.param[row, 0] < mass:
                node = child
                break
        else:
            copy(step.target[row], weights)
            for child in children(step, node, nodes):
                weights[step.token[child]] = 0.0
            return node, draw_weights(weights, step.coin[0])
    return node, -1
