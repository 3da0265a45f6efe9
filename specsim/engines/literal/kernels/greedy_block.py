"""The kernel of the rule ``greedy-block``."""

from specsim.engines.literal.helpers import children, draw_weights, powers
from specsim.engines.literal.kernels import two_step

#: For each token, the draft's mass of all tokens whose T / D is at most its own.
prepare = two_step.prepare


def verify(step, nodes):
    """2602.16961: select the path whose T / D are largest, token by token, and verify it as a block.

    Of K paths, the selected one begins as it does with ``(below + mass)^K - below^K``, where `mass` is the
    draft's of this beginning and `below` that of all lower ones. Its law after i tokens is ``room[i]``.
    ``step.weight`` marks the paths that are left, `path` is the first of them.
    """
    count = len(children(step, 0, nodes))
    length, weights = (nodes - 1) // count, step.room[len(step.room) - 1]
    path, node, weight, below, mass, stop, scale = 0, 0, 1.0, 0.0, 1.0, 0, 1.0
    for k in range(count):
        step.weight[k] = 1.0
    for i in range(length):
        row, law, first = step.row[node], step.room[i], 1 + i * count
        target, draft, upto, excess = step.target[row], step.draft[row], step.param[row], 0.0
        for y in range(len(law)):
            low, high = below + mass * (upto[y] - draft[y]), below + mass * upto[y]
            law[y] = draft[y] * powers(low, high, count) / powers(below, below + mass, count)
            excess += max(weight * target[y] - law[y], 0.0)
        if i > 0 and (weight == 1.0 or step.coin[first - count] * (excess + 1.0 - weight) < excess):
            stop, scale = i, weight
        path, largest, x = -1, -1.0, -1
        for k in range(count):
            y = step.token[first + k]
            if step.weight[k] > 0:
                quotient = target[y] / draft[y]
                if quotient > largest or (quotient == largest and y > x):
                    path, largest, x = k, quotient, y
        for k in range(count):
            if step.token[first + k] != x:
                step.weight[k] = 0.0
        node, weight = first + path, min(1.0, weight * target[x] / law[x])
        below, mass = below + mass * (upto[x] - draft[x]), mass * draft[x]
    if step.coin[1 + (length - 1) * count] < weight:
        return node, -1
    stopped = 1 + (stop - 1) * count + path if stop > 0 else 0
    for y in range(len(weights)):
        weights[y] = max(scale * step.target[step.row[stopped], y] - step.room[stop, y], 0.0)
    return stopped, draw_weights(weights, step.coin[0])
