"""The kernel of the rule ``over-acceptance``."""

import numpy as np

from specsim.engines.literal.helpers import draw_excess, draw_weights

RESIDUALS = ("optimal", "target", "draft")


def prepare(target, draft, structure, epsilon, residual):
    """Return epsilon and the number of the residual for each row: ``(R, 2)``."""
    return np.tile([float(epsilon), RESIDUALS.index(residual)], (len(target), 1))


def verify(step, nodes):
    """2411.00841, section 4.2: accept a token x with min(1, (T(x) + epsilon) / D(x))."""
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        if step.coin[i] * step.draft[row, x] >= step.target[row, x] + step.param[row, 0]:
            if step.param[row, 1] == 0:
                return i - 1, draw_excess(step, row, 1.0)
            if step.param[row, 1] == 1:
                return i - 1, draw_weights(step.target[row], step.coin[0])
            return i - 1, draw_weights(step.draft[row], step.coin[0])
    return nodes - 1, -1
