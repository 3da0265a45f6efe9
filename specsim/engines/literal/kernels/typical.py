"""The kernel of the rule ``typical``."""

import numpy as np

from specsim.engines.literal.helpers import draw_weights


def prepare(target, draft, structure, epsilon, delta, residual):
    """Return the threshold of each row, and its likeliest token or -1: ``(R, 2)``."""
    safe = np.where(target > 0, target, 1.0)
    typical = float(delta) * np.exp(np.sum(safe * np.log(safe), axis=1))
    best = np.argmax(target, axis=1) if residual == "likeliest" else np.full(len(target), -1)
    return np.stack([np.minimum(typical, float(epsilon)), best], axis=1)


def verify(step, nodes):
    """2401.10774, section 3.3.1: accept a token x when T(x) > min(epsilon, delta exp(-entropy))."""
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        if step.target[row, x] <= step.param[row, 0]:
            if step.param[row, 1] >= 0:
                return i - 1, int(step.param[row, 1])
            return i - 1, draw_weights(step.target[row], step.coin[0])
    return nodes - 1, -1
