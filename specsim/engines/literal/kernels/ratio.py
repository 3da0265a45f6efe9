"""The kernel of the rule ``ratio``."""

from specsim.engines.literal.helpers import draw_excess


def verify(step, nodes):
    """2211.17192, Algorithm 1: accept a token x with min(1, T(x) / D(x)); replace the first failure."""
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        if step.coin[i] * step.draft[row, x] >= step.target[row, x]:
            return i - 1, draw_excess(step, row, 1.0)
    return nodes - 1, -1
