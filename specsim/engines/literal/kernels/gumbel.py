"""The kernel of the rule ``gumbel``."""

from specsim.engines.literal.helpers import race


def propose(step, node):
    """2408.07978: draft with the noise of the position."""
    return race(step, node, step.draft[step.row[step.parent[node]]])


def verify(step, nodes):
    """2408.07978: draw from the target with the noise that drafted; accept while both draws agree."""
    for i in range(1, nodes):
        drawn = race(step, i, step.target[step.row[i - 1]])
        if drawn != step.token[i]:
            return i - 1, drawn
    return nodes - 1, -1
