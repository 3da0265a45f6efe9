"""The kernel of the rule ``drop-unlikely``."""

import numpy as np

from specsim.engines.literal.helpers import draw_excess, draw_weights


def prepare(target, draft, structure, least):
    """Return the least draft probability for each row: ``(R, 1)``."""
    return np.full((len(target), 1), least, dtype=object)


def verify(step, nodes):
    """Apply the ratio rule up to the first token x with D(x) < least, which is not submitted."""
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        if step.draft[row, x] < step.param[row, 0]:
            return i - 1, draw_weights(step.target[row], step.coin[0])
        if step.coin[i] * step.draft[row, x] >= step.target[row, x]:
            return i - 1, draw_excess(step, row, 1.0)
    return nodes - 1, -1
