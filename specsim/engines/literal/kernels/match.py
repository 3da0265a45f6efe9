"""The kernel of the rule ``match``."""

from specsim.engines.literal.helpers import children, draw_weights


def verify(step, nodes):
    """z-lab/dflash#74: draw once from the target; descend into the child that equals it, else emit it."""
    node = 0
    while len(children(step, node, nodes)) > 0:
        drawn = draw_weights(step.target[step.row[node]], step.coin[node])
        for child in children(step, node, nodes):
            if step.token[child] == drawn:
                node = child
                break
        else:
            return node, drawn
    return node, -1
