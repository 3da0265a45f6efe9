"""The kernel of the rule ``transport``."""

import numpy as np

from specsim.engines.literal.helpers import children, draw_weights


def prepare(target, draft, structure):
    """Return for each number of children m a block: m, then three numbers for each token.

    Tokens are ranked by T / D. The numbers are the rank of a token; by rank, the coin from which on the plan
    cuts after it; what the plan leaves of the target.
    """
    order = np.argsort(np.where(draft > 0, -target / np.where(draft > 0, draft, 1), 1), axis=1, kind="stable")
    rank, none = np.argsort(order, axis=1), draft[:, :1] * 0
    asked, drawn = (
        np.take_along_axis(rows, order, axis=1) for rows in (np.where(draft > 0, target, 0), draft)
    )
    # Place i of these is about the first i tokens.
    mass, blocks = np.concatenate([none, drawn.cumsum(axis=1)], axis=1), []
    for m in sorted({len(structure.children(node)) for node in range(len(structure.parents))} - {0}):
        some, owed = 1 - (1 - mass) ** m, [none]
        for i in range(asked.shape[1]):
            owed.append(np.minimum(owed[-1] + asked[:, i : i + 1], some[:, i + 1 : i + 2]))
        owed = np.concatenate(owed, axis=1)
        left = target - np.take_along_axis(owed[:, 1:] - owed[:, :-1], rank, axis=1)
        blocks += [none + m, rank, cuts(mass, some, owed)[:, 1:], np.maximum(left, 0)]
    return np.concatenate(blocks, axis=1)


def cuts(mass, some, owed):
    """Return the coin from which on there is a cut at a place.

    What the tokens before a place are owed is due at the rate at which pieces between the present cuts
    accept them. There is a cut when the rest of the coin is just enough: owed = (1 - coin) some.
    """
    size, places = mass.shape[1], np.arange(mass.shape[1])
    coin, now = some * 0 + 1, mass[:, :1] * 0
    coin[:, 0] = 0
    while (now < 1).any():
        cut = coin <= now
        low = np.maximum.accumulate(np.where(cut, places, 0), axis=1)
        high = np.minimum.accumulate(np.where(cut, places, size)[:, ::-1], axis=1)[:, ::-1]
        (f_low, f_high), (m_low, m_high) = (
            [np.take_along_axis(table, np.minimum(ends, size - 1), axis=1) for ends in (low, high)]
            for table in (some, mass)
        )
        # After the last cut nothing is accepted.
        wide = (high < size) & (m_high > m_low)
        slope = (f_high - f_low) / np.where(wide, m_high - m_low, 1)
        rate = f_low + np.where(wide, slope * (mass - m_low), 0)
        waits = (some > rate) & ~cut
        due = np.where(waits, (some - owed - now * rate) / np.where(waits, some - rate, 1), 1)
        following = np.minimum(np.maximum(due, now).min(axis=1, keepdims=True), 1)
        owed = owed - rate * (following - now)
        coin, now = np.where(waits & (due <= following), following, coin), following
    return coin


def verify(step, nodes):
    """2310.15141, Section 4: draw how finely the plan cuts; take the first child of the first piece.

    The piece ends at the first cut after the lowest rank of the children. Without one all are rejected.
    """
    node, weights = 0, step.room[0]
    while len(children(step, node, nodes)) > 0:
        row, at, size, count = step.row[node], 0, len(weights), len(children(step, node, nodes))
        while step.param[row, at] != count:
            at += 1 + 3 * size
        lowest, end, at = size, -1, at + 1
        for child in children(step, node, nodes):
            lowest = min(lowest, step.param[row, at + step.token[child]])
        for i in range(size):
            if i >= lowest and step.param[row, at + size + i] <= step.coin[step.first[node]]:
                end = i
                break
        for child in children(step, node, nodes):
            if step.param[row, at + step.token[child]] <= end:
                node = child
                break
        else:
            for y in range(size):
                weights[y] = step.param[row, at + 2 * size + y]
            return node, draw_weights(weights, step.coin[0])
    return node, -1
