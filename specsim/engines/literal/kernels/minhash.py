"""The kernel of the rule ``minhash``."""

import numpy as np

from specsim.engines.literal.helpers import MOST_POINTS, children, point


def propose(step, node):
    """2408.07978: draft the token of the first point of the node below the draft row."""
    row = step.row[step.parent[node]]
    for number in range(MOST_POINTS):
        token, height, _ = point(step, node, number)
        if height < step.draft[row, token]:
            return token
    return -1


def verify(step, nodes):
    """2408.07978: the target's token is that of the earliest point below its row, over all children."""
    node = 0
    while len(children(step, node, nodes)) > 0:
        row, drawn, earliest = step.row[node], -1, np.inf
        for child in children(step, node, nodes):
            time = 0.0
            for number in range(MOST_POINTS):
                token, height, wait = point(step, child, number)
                time += wait
                if time >= earliest:
                    break
                if height < step.target[row, token]:
                    earliest, drawn = time, token
                    break
        for child in children(step, node, nodes):
            if step.token[child] == drawn:
                node = child
                break
        else:
            return node, drawn
    return node, -1
