"""The kernel of the rule ``block-uncapped-whole``."""

from specsim.engines.literal.helpers import draw_excess, excess


def verify(step, nodes):
    """2601.05724, code: test the whole draft by the product of its ratios, then walk back."""
    product, weight = 1.0, step.weight
    weight[0] = 1.0
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        product *= step.target[row, x] / step.draft[row, x]
        weight[i] = min(1.0, weight[i - 1] * step.target[row, x] / step.draft[row, x])
    if step.coin[nodes - 1] < product:
        return nodes - 1, -1
    stop = nodes - 2
    while stop > 0:
        mass = excess(step, step.row[stop], weight[stop])
        if weight[stop] == 1.0 or step.coin[stop] * (mass + 1.0 - weight[stop]) < mass:
            break
        stop -= 1
    return stop, draw_excess(step, step.row[stop], weight[stop])
