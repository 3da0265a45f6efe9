"""The kernel of the rule ``two-step``."""

import numpy as np

from specsim.engines.literal.helpers import children, draw_weights, powers


def prepare(target, draft, structure):
    """Return for each token the draft's mass of all tokens whose T / D is at most its own: ``(R, V)``."""
    upto = np.zeros_like(draft)
    for row in range(len(draft)):
        drafted = [y for y in range(draft.shape[1]) if draft[row, y] > 0]
        drafted.sort(key=lambda y, row=row: (target[row, y] / draft[row, y], y))
        upto[row, drafted] = np.cumsum(draft[row, drafted])
    return upto


def verify(step, nodes):
    """2410.18234: select the child of the largest T / D, the higher token in a tie, and test it alone.

    The largest of K children is x with probability (D up to x)^K - (D below x)^K.
    """
    node, weights = 0, step.room[0]
    while len(children(step, node, nodes)) > 0:
        row, chosen, largest, count = step.row[node], -1, -1.0, len(children(step, node, nodes))
        for child in children(step, node, nodes):
            x = step.token[child]
            quotient = step.target[row, x] / step.draft[row, x]
            if quotient > largest or (quotient == largest and x > step.token[chosen]):
                chosen, largest = child, quotient
        for y in range(len(weights)):
            upto, share = step.param[row, y], step.draft[row, y]
            weights[y] = share * powers(upto - share, upto, count)
        x = step.token[chosen]
        if step.coin[chosen] * weights[x] < step.target[row, x]:
            node = chosen
        else:
            for y in range(len(weights)):
                weights[y] = max(step.target[row, y] - weights[y], 0.0)
            return node, draw_weights(weights, step.coin[0])
    return node, -1
