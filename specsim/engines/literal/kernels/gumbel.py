"""The kernel of the rule ``gumbel``."""

from specsim.engines.literal.helpers import children, race, race_of_all


def propose(step, node):
    """2408.07978: draft with the noise of the node."""
    return race(step, node, step.draft[step.row[step.parent[node]]])


def verify(step, nodes):
    """2408.07978: draw from the target with the noise that drafted; descend into the child that is drawn.

    With several children the target's draw is the earliest over the noises of all of them (2506.05632).
    """
    node = 0
    while len(children(step, node, nodes)) > 0:
        first = step.first[node]
        last = first + len(children(step, node, nodes))
        drawn = race_of_all(step, first, last, step.target[step.row[node]])
        for child in range(first, last):
            if step.token[child] == drawn:
                node = child
                break
        else:
            return node, drawn
    return node, -1
