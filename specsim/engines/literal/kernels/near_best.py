"""The kernel of the rule ``near-best``."""

import numpy as np


def prepare(target, draft, structure, top, delta):
    """Return the number of candidates and delta for each row: ``(R, 2)``."""
    return np.tile(np.array([top, delta], dtype=object), (len(target), 1))


def verify(step, nodes):
    """NVIDIA/TensorRT-LLM#3865: accept x when fewer than `top` are before it and T(x) >= max T - delta."""
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        best, before = 0, 0
        for y in range(step.target.shape[1]):
            if step.target[row, y] > step.target[row, best]:
                best = y
            if step.target[row, y] > step.target[row, x] or (
                step.target[row, y] == step.target[row, x] and y < x
            ):
                before += 1
        near = step.target[row, x] >= step.target[row, best] - step.param[row, 1]
        if x != best and (before >= step.param[row, 0] or not near):
            return i - 1, best
    return nodes - 1, -1
