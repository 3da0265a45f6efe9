"""The kernel of the rule ``ensemble``."""

import numpy as np

from specsim.engines.literal.helpers import draw_excess


def prepare(target, draft, structure, share):
    """Return the share of the target for each row: ``(R, 1)``."""
    return np.full((len(target), 1), share, dtype=object)


def verify(step, nodes):
    """Accept a token x with min(1, (share T(x) + (1 - share) D(x)) / D(x)); what is missing lies on T - D."""
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        more = step.param[row, 0] * (step.target[row, x] - step.draft[row, x])
        if step.coin[i] * step.draft[row, x] >= step.draft[row, x] + more:
            return i - 1, draw_excess(step, row, 1.0)
    return nodes - 1, -1
