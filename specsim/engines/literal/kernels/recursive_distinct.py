"""The kernel of the rule ``recursive-distinct``."""

from specsim.engines.literal.helpers import children, copy, draw_weights, subtract, untried


def verify(step, nodes):
    """2402.14160: recursive rejection with the draft row less the tokens already tried, renormalised.

    Neither the target's nor the draft's weights are normalised; `mass` and `left` are their sums.
    """
    node, weights, drafts = 0, step.room[0], step.room[1]
    while len(children(step, node, nodes)) > 0:
        at, mass = node, 1.0
        copy(step.target[step.row[at]], weights)
        for child in children(step, at, nodes):
            x, left = step.token[child], untried(step, at, child, drafts)
            if step.coin[child] * mass * drafts[x] < weights[x] * left:
                node = child
                break
            mass = subtract(weights, mass / left, drafts)
        else:
            return node, draw_weights(weights, step.coin[0])
    return node, -1
