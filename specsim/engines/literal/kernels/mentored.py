"""The kernel of the rule ``mentored``."""

import numpy as np

from specsim.engines.literal.helpers import draw_weights


def prepare(target, draft, structure, divergence):
    """Return the row that takes the target's place, clip(D; low T, high T): ``(R, V)``.

    For each `low` in [0, 1] the `high` that makes the sum 1 is found by bisection, and `low` by bisection
    such that the divergence from the target is as large as allowed.
    """
    if divergence == 0:
        return target
    target, draft = target.astype(float), draft.astype(float)
    safe = np.where(target > 0, target, 1.0)
    most = np.maximum((np.where(target > 0, draft, 0) / safe).max(axis=1, keepdims=True), 1.0)

    def row(low):
        under, over = np.ones_like(most), most
        for _ in range(60):
            middle = (under + over) / 2
            above = (
                np.maximum(low * target, np.minimum(draft, middle * target)).sum(axis=1, keepdims=True) > 1
            )
            under, over = np.where(above, under, middle), np.where(above, middle, over)
        return np.maximum(low * target, np.minimum(draft, under * target))

    low, high = np.zeros_like(most), np.ones_like(most)
    for _ in range(60):
        middle = (low + high) / 2
        found = row(middle)
        # A `low` too small leaves mass that no `high` brings back.
        lacking = found.sum(axis=1, keepdims=True) < 1 - 1e-12
        terms = found * np.log(np.where(found > 0, found, safe) / safe)
        far = terms.sum(axis=1, keepdims=True) > float(divergence)
        low, high = np.where(far | lacking, middle, low), np.where(far | lacking, high, middle)
    return row(high)


def verify(step, nodes):
    """2609.30474: apply the ratio rule against the prepared row."""
    weights = step.room[0]
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        if step.coin[i] * step.draft[row, x] >= step.param[row, x]:
            for y in range(len(weights)):
                weights[y] = max(step.param[row, y] - step.draft[row, y], 0.0)
            final = draw_weights(weights, step.coin[0])
            # Where nothing is left, rounding alone tells the row from the draft.
            if final >= 0:
                return i - 1, final
    return nodes - 1, -1
