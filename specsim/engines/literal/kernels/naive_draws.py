"""The kernel of the rule ``naive-draws``."""

from specsim.engines.literal.helpers import children, draw_weights


def verify(step, nodes):
    """foundation-model-stack/fms-extras#12: a draw from the target for each child; the first match wins."""
    node = 0
    while len(children(step, node, nodes)) > 0:
        at, first = node, -1
        for child in children(step, at, nodes):
            drawn = draw_weights(step.target[step.row[at]], step.coin[child])
            if drawn == step.token[child]:
                node = child
                break
            if first < 0:
                first = drawn
        else:
            return node, first
    return node, -1
