"""The kernel of the rule ``one-hot``."""

from specsim.engines.literal.helpers import children, copy, draw_weights


def verify(step, nodes):
    """2211.17192 for drafts without a row: accept a child with the target's probability.

    A failure takes the child's token out of the target; `left` is the mass that remains.
    """
    node, weights = 0, step.room[0]
    while len(children(step, node, nodes)) > 0:
        copy(step.target[step.row[node]], weights)
        left = 1.0
        for child in children(step, node, nodes):
            x = step.token[child]
            if step.coin[child] * left < weights[x]:
                node = child
                break
            left -= weights[x]
            weights[x] = 0.0
        else:
            return node, draw_weights(weights, step.coin[0])
    return node, -1
