"""The kernel of the rule ``block-token-residual``."""

from specsim.engines.literal.helpers import draw_excess, excess


def verify(step, nodes):
    """2403.10444, Algorithm 2, with the residual of 2211.17192."""
    weight, stop = 1.0, 0
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        weight = min(1.0, weight * step.target[row, x] / step.draft[row, x])
        if i == nodes - 1:
            success = step.coin[i] < weight
        else:
            mass = excess(step, step.row[i], weight)
            success = weight == 1.0 or step.coin[i] * (mass + 1.0 - weight) < mass
        if success:
            stop = i
    if stop == nodes - 1:
        return stop, -1
    return stop, draw_excess(step, step.row[stop], 1.0)
