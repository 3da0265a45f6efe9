"""The kernel of the rule ``confidence-tree``."""

import numpy as np

from specsim.engines.literal.helpers import children, draw_weights


def prepare(target, draft, structure, size):
    """Return the number of nodes that are kept, for each row: ``(R, 1)``."""
    return np.full((len(target), 1), size)


def verify(step, nodes):
    """2406.16858: of the drafted tokens keep those whose paths are likeliest; match draws of the target.

    ``step.weight`` is the product of the draft's probabilities along the path. A child is kept when fewer
    than the wanted number are likelier, or as likely and before it.
    """
    step.weight[0] = 1.0
    for child in range(1, nodes):
        parent = step.parent[child]
        step.weight[child] = step.weight[parent] * step.draft[step.row[parent], step.token[child]]
    node = 0
    while len(children(step, node, nodes)) > 0:
        at, drawn = node, draw_weights(step.target[step.row[node]], step.coin[node])
        for child in children(step, at, nodes):
            if step.token[child] == drawn and node == at:
                ahead = 0
                for other in range(1, nodes):
                    more = step.weight[other] - step.weight[child]
                    if more > 0 or (more == 0 and other < child):
                        ahead += 1
                if ahead < step.param[step.row[at], 0]:
                    node = child
        if node == at:
            return at, drawn
    return node, -1
