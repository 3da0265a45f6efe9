"""The kernel of the rule ``block-product-coins``."""

from specsim.engines.literal.helpers import draw_excess


def verify(step, nodes):
    """vllm-project/vllm-ascend at 05226df: accept up to the last weight that the product of coins leaves."""
    weight, coins, stop = 1.0, 1.0, 0
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        weight = min(1.0, weight * step.target[row, x] / step.draft[row, x])
        coins *= step.coin[i]
        if weight > coins:
            stop = i
    if stop == nodes - 1:
        return stop, -1
    return stop, draw_excess(step, step.row[stop], 1.0)
