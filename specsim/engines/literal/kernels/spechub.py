"""The kernel of the rule ``spechub``."""

from specsim.engines.literal.helpers import children, copy, draw_weights, second_coin, untried


def propose(step, node):
    """2411.05289: draw the first child; the second is the likeliest token, or another after that one."""
    row, first = step.row[step.parent[node]], step.first[step.parent[node]]
    hub, weights = step.draft[row].argmax(), step.room[0]
    if node == first + 1 and step.token[first] != hub:
        return hub
    copy(step.draft[row], weights)
    if node == first + 1:
        untried(step, step.parent[node], node, weights)
    return draw_weights(weights, second_coin(step, node))


def verify(step, nodes):
    """2411.05289: test the token that is paired with the hub (the likeliest token), then the hub itself.

    ``rest`` is what the tests of (y, hub), and then of (hub, y), leave of the target; `unused` are the masses
    of the pairs that they reject. A node with one child is tested alone.
    """
    node, rest, others = 0, step.room[0], step.room[1]
    while len(children(step, node, nodes)) > 0:
        at, first, two = node, step.first[node], len(children(step, node, nodes)) > 1
        target, draft = step.target[step.row[at]], step.draft[step.row[at]]
        hub = draft.argmax()
        swapped = two and step.token[first] == hub
        other = first + 1 if swapped else first
        x, in_order, turned = step.token[other], 0.0, 0.0
        for y in range(len(rest)):
            others[y] = 0.0 if y == hub else draft[y]
        left = 0.0
        for weight in others:
            left += weight
        for y in range(len(rest)):
            pair = others[y] if two else draft[y]
            back = (
                0.0
                if not two or y == hub
                else draft[hub] * (others[y] / left if left > 0 else 1.0 / (len(rest) - 1))
            )
            after = max(target[y] - pair, 0.0)
            in_order += pair - min(target[y], pair)
            turned += back - min(after, back)
            rest[y] = max(after - back, 0.0)
            if y == x and step.coin[other] * (back if swapped else pair) < (after if swapped else target[y]):
                node = other
        if node == at and two:
            mass = target[hub] if swapped else max(target[hub] - turned, 0.0)
            if step.coin[first if swapped else first + 1] * (turned if swapped else in_order) < mass:
                node = first if swapped else first + 1
            rest[hub] = max(target[hub] - turned - in_order, 0.0)
        if node == at:
            return node, draw_weights(rest, step.coin[0])
    return node, -1
