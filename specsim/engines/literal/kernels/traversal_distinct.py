"""The kernel of the rule ``traversal-distinct``."""

from specsim.engines.literal.helpers import children, copy, draw_weights, subtract, untried


def verify(step, nodes):
    """2505.12398 for children drawn without replacement: the draft row loses the tokens already tried.

    ``step.room[depth]`` holds the target rows along the present path, normalised, its last row a draft row.
    """
    rows, weight, node, depth, child = step.room, step.weight, 0, 0, step.first[0]
    drafts = rows[len(rows) - 1]
    weight[0] = 1.0
    copy(step.target[step.row[0]], rows[0])
    while True:
        if child in children(step, node, nodes):
            x, left = step.token[child], untried(step, node, child, drafts)
            weight[child] = min(1.0, weight[node] * rows[depth, x] * left / drafts[x])
            node, depth, child = child, depth + 1, step.first[child]
            copy(step.target[step.row[node]], rows[depth])
        elif node == 0 or step.coin[node] < weight[node]:
            if len(children(step, node, nodes)) == 0:
                return node, -1
            return node, draw_weights(rows[depth], step.coin[0])
        else:
            failed, node, depth = node, step.parent[node], depth - 1
            child, left = failed + 1, untried(step, node, failed, drafts)
            for y in range(rows.shape[1]):
                rows[depth, y] = weight[node] * rows[depth, y]
            mass = subtract(rows[depth], 1 / left, drafts)
            if mass > 0:
                for y in range(rows.shape[1]):
                    rows[depth, y] = rows[depth, y] / mass
            if weight[node] < 1:
                weight[node] = mass / (mass + 1.0 - weight[node])
