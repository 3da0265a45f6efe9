"""The kernel of the rule ``window-override``."""

import numpy as np

from specsim.engines.literal.helpers import draw_excess


def prepare(target, draft, structure, window, entropy, top):
    """Return for each row whether it is uncertain, 1 or 0, and the window: ``(R, 2)``."""
    likeliest = -np.sort(-target, axis=1)[:, :top]
    safe = np.where(likeliest > 0, likeliest, 1.0)
    uncertain = -np.sum(safe * np.log(safe), axis=1) >= float(entropy)
    return np.stack([np.where(uncertain, 1, 0), np.full(len(target), window)], axis=1)


def verify(step, nodes):
    """vllm-project/vllm#53987: a failed test of an uncertain row is overridden by a window of passed ones."""
    i = 1
    while i < nodes:
        row, x = step.row[i - 1], step.token[i]
        window = int(step.param[row, 1])
        overridden = step.param[row, 0] > 0 and step.target[row, x] > 0 and i + window < nodes
        passed = step.coin[i] * step.draft[row, x] < step.target[row, x]
        if not passed and overridden:
            for j in range(i + 1, i + 1 + window):
                later, y = step.row[j - 1], step.token[j]
                if step.coin[j] * step.draft[later, y] >= step.target[later, y]:
                    overridden = False
                    break
        if not passed and not overridden:
            return i - 1, draw_excess(step, row, 1.0)
        i += 1 if passed else 1 + window
    return nodes - 1, -1
