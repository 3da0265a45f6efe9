"""The kernel of the rule ``traversal``."""

from specsim.engines.literal.helpers import children, copy, draw_weights, subtract


def verify(step, nodes):
    """2505.12398: leaves first; accept the path to a leaf by its weight, or delete the leaf.

    A failure leaves (weight T - D)_+ of the parent's target row, normalised. ``step.room[depth]`` holds the
    target rows along the present path.
    """
    rows, weight, node, depth, child = step.room, step.weight, 0, 0, step.first[0]
    weight[0] = 1.0
    copy(step.target[step.row[0]], rows[0])
    while True:
        if child in children(step, node, nodes):
            x = step.token[child]
            weight[child] = min(1.0, weight[node] * rows[depth, x] / step.draft[step.row[node], x])
            node, depth, child = child, depth + 1, step.first[child]
            copy(step.target[step.row[node]], rows[depth])
        elif node == 0 or step.coin[node] < weight[node]:
            if len(children(step, node, nodes)) == 0:
                return node, -1
            return node, draw_weights(rows[depth], step.coin[0])
        else:
            child, node, depth = node + 1, step.parent[node], depth - 1
            for y in range(rows.shape[1]):
                rows[depth, y] = weight[node] * rows[depth, y]
            mass = subtract(rows[depth], 1.0, step.draft[step.row[node]])
            if mass > 0:
                for y in range(rows.shape[1]):
                    rows[depth, y] = rows[depth, y] / mass
            if weight[node] < 1:
                weight[node] = mass / (mass + 1.0 - weight[node])
