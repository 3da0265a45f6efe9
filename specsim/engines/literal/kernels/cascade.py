"""The kernel of the rule ``cascade``."""

import numpy as np

from specsim.engines.literal.helpers import draw_excess


def prepare(target, draft, structure, alpha):
    """Return for each row whether the draft defers to the target, 1 or 0: ``(R, 1)``."""
    distance = np.sum(np.maximum(target - draft, 0), axis=1)
    deferred = np.max(draft, axis=1) + alpha * distance < np.max(target, axis=1)
    return np.where(deferred, 1, 0)[:, None]


def verify(step, nodes):
    """2405.19261, rule OPT: the ratio rule where the draft defers; elsewhere all is accepted."""
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        if step.param[row, 0] > 0 and step.coin[i] * step.draft[row, x] >= step.target[row, x]:
            return i - 1, draw_excess(step, row, 1.0)
    return nodes - 1, -1
