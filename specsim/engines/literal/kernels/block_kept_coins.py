"""The kernel of the rule ``block-kept-coins``."""

from specsim.engines.literal.helpers import draw_excess, excess, lasting_coin


def verify(step, nodes):
    """2403.10444, Algorithm 2, as in vLLM 0.30.0: a coin for each position instead of one for each test."""
    weight, stop, scale = 1.0, 0, 1.0
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        weight = min(1.0, weight * step.target[row, x] / step.draft[row, x])
        if i == nodes - 1:
            success = lasting_coin(step, i) < weight
        else:
            mass = excess(step, step.row[i], weight)
            success = weight == 1.0 or lasting_coin(step, i) * (mass + 1.0 - weight) < mass
        if success:
            stop, scale = i, weight
    if stop == nodes - 1:
        return stop, -1
    return stop, draw_excess(step, step.row[stop], scale)
