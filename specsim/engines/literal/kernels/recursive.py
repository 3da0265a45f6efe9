"""The kernel of the rule ``recursive``."""

from specsim.engines.literal.helpers import children, copy, draw_weights, subtract


def verify(step, nodes):
    """2305.09781: test the children of a node in turn; a failure leaves (T - D)_+ of the target.

    The weights that are left are not normalised; `mass` is their sum.
    """
    node, weights = 0, step.room[0]
    while len(children(step, node, nodes)) > 0:
        row, mass = step.row[node], 1.0
        copy(step.target[row], weights)
        for child in children(step, node, nodes):
            x = step.token[child]
            if step.coin[child] * mass * step.draft[row, x] < weights[x]:
                node = child
                break
            mass = subtract(weights, mass, step.draft[row])
        else:
            return node, draw_weights(weights, step.coin[0])
    return node, -1
