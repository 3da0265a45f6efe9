"""The kernel of the rule ``lenience``."""

import numpy as np

from specsim.engines.literal.helpers import draw_excess


def prepare(target, draft, structure, lenience):
    """Return the lenience for each row: ``(R, 1)``."""
    return np.full((len(target), 1), lenience, dtype=object)


def verify(step, nodes):
    """2211.17192, Appendix A.5: accept a token x with min(1, T(x) / (lenience D(x)))."""
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        if step.coin[i] * step.draft[row, x] * step.param[row, 0] >= step.target[row, x]:
            return i - 1, draw_excess(step, row, 1.0)
    return nodes - 1, -1
