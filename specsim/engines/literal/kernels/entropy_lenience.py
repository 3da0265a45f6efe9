"""The kernel of the rule ``entropy-lenience``."""

import numpy as np

from specsim.engines.literal.helpers import draw_excess


def prepare(target, draft, structure, ceiling, rate):
    """Return the factor of each row, min(ceiling, exp(-rate entropy of T)): ``(R, 1)``."""
    safe = np.where(target > 0, target, 1.0)
    return np.minimum(
        np.exp(float(rate) * np.sum(safe * np.log(safe), axis=1, keepdims=True)), float(ceiling)
    )


def verify(step, nodes):
    """vllm-project/vllm-ascend#9772: the coin of a test is multiplied by the factor."""
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        if step.coin[i] * step.draft[row, x] * step.param[row, 0] >= step.target[row, x]:
            return i - 1, draw_excess(step, row, 1.0)
    return nodes - 1, -1
