"""The kernel of the rule ``summed-coin``."""

from specsim.engines.literal.helpers import children, copy, draw_weights


def verify(step, nodes):
    """sgl-project/sglang#7207: one coin against the summed target mass of the children in order.

    After a failure the final token is drawn from the target without the children.
    """
    node, weights = 0, step.room[0]
    while len(children(step, node, nodes)) > 0:
        row, coin, covered = step.row[node], step.coin[step.first[node]], 0.0
        for child in children(step, node, nodes):
            covered += step.target[row, step.token[child]]
            if coin < covered:
                node = child
                break
        else:
            copy(step.target[row], weights)
            for child in children(step, node, nodes):
                weights[step.token[child]] = 0.0
            return node, draw_weights(weights, step.coin[0])
    return node, -1
