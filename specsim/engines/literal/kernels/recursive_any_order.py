"""The kernel of the rule ``recursive-any-order``."""

from specsim.engines.literal.helpers import children, copy, draw_weights, second_coin, subtract


def verify(step, nodes):
    """2305.09781, Algorithm 2: recursive rejection over the children of a node in a random order.

    ``step.weight`` marks the children that have been tried.
    """
    node, weights = 0, step.room[0]
    while len(children(step, node, nodes)) > 0:
        at, row, mass = node, step.row[node], 1.0
        copy(step.target[row], weights)
        untried = len(children(step, at, nodes))
        for child in children(step, at, nodes):
            step.weight[child] = 0.0
        for turn in children(step, at, nodes):
            # The children that are left are equally likely to be next.
            passed, chosen = 0, -1
            for child in children(step, at, nodes):
                if step.weight[child] == 0.0 and chosen < 0:
                    passed += 1
                    if second_coin(step, turn) * untried < passed:
                        chosen = child
            step.weight[chosen] = 1.0
            untried -= 1
            x = step.token[chosen]
            if step.coin[chosen] * mass * step.draft[row, x] < weights[x]:
                node = chosen
                break
            mass = subtract(weights, mass, step.draft[row])
        else:
            return node, draw_weights(weights, step.coin[0])
    return node, -1
