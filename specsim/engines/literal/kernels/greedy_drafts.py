"""The kernel of the rule ``greedy-drafts``."""

from specsim.engines.literal.helpers import children, copy, draw_weights, second_coin, subtract, untried


def propose(step, node):
    """2502.18779: the likeliest draft tokens, and as the last child a token drawn from the others."""
    parent, weights, found = step.parent[node], step.room[0], -1
    untried(step, parent, node, weights)
    if node + 1 == step.first[parent + 1]:
        return draw_weights(weights, second_coin(step, node))
    for sibling in range(step.first[parent], node):
        weights[step.token[sibling]] = -1.0
    for y in range(len(weights)):
        if found < 0 or weights[y] > weights[found]:
            found = y
    return found


def verify(step, nodes):
    """2502.18779: test the last child by the draft row without the others; else draw what replaces it.

    The replacement may be one of the other children, into which the walk descends.
    """
    node, weights, drafts = 0, step.room[0], step.room[1]
    while len(children(step, node, nodes)) > 0:
        row, first = step.row[node], step.first[node]
        last = first + len(children(step, node, nodes)) - 1
        x, left = step.token[last], untried(step, node, last, drafts)
        if step.coin[last] * drafts[x] < step.target[row, x] * left:
            node = last
        else:
            copy(step.target[row], weights)
            subtract(weights, 1 / left, drafts)
            drawn = draw_weights(weights, step.coin[first] if first < last else step.coin[0])
            for child in range(first, last):
                if step.token[child] == drawn:
                    node = child
                    break
            else:
                return node, drawn
    return node, -1
