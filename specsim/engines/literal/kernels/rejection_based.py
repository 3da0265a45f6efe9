"""The kernel of the rule ``rejection-based``."""

import numpy as np

from specsim.engines.literal.helpers import draw_weights


def prepare(target, draft, structure, acceptance, residual):
    """Return both tables side by side, ``(R, 2 V)``, with rows for every step of the longest one."""
    contexts, tokens = acceptance.shape[1:]
    lengths = (len(acceptance), len(residual), len(target) // contexts)
    steps = min((length for length in lengths if length > 1), default=1)
    tables = [
        np.broadcast_to(table[:steps], (steps, contexts, tokens)).astype(np.float64)
        for table in (acceptance, residual)
    ]
    return np.concatenate(tables, axis=2).reshape(-1, 2 * tokens)


def verify(step, nodes):
    """2411.00841, Algorithm 2: any acceptance of a drafted token, and any law of its replacement."""
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        if step.coin[i] >= step.param[row, x]:
            return i - 1, draw_weights(step.param[row, step.target.shape[1] :], step.coin[0])
    return nodes - 1, -1
