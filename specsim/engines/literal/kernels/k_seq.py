"""The kernel of the rule ``k-seq``."""

import numpy as np

from specsim.engines.literal.helpers import children, draw_weights


def prepare(target, draft, structure):
    """Return the factor of each row for each number of children: ``(R, most children + 1)``.

    It solves 1 - (1 - b)^m = factor b with b = sum min(T / factor, D) in [1, m], by bisection; the end at
    which the residual is nowhere negative is taken (2310.15141, Algorithm 2).
    """
    numbers = {len(structure.children(node)) for node in range(len(structure.parents))}
    factors = np.ones((len(target), max(numbers) + 1))
    for m in numbers - {0, 1}:
        low, high = np.ones(len(target)), np.full(len(target), float(m))
        for _ in range(60):
            middle = (low + high) / 2
            b = np.minimum(target / middle[:, None], draft).sum(axis=1)
            above = 1 - (1 - b) ** m > middle * b
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        factors[:, m] = np.where((target == draft).all(axis=1), 1.0, high)
    return factors


def verify(step, nodes):
    """2310.15141, Algorithm 2: one test for every child, one residual after all have failed."""
    node, weights = 0, step.room[0]
    while len(children(step, node, nodes)) > 0:
        row, count = step.row[node], len(children(step, node, nodes))
        target, draft, factor = step.target[row], step.draft[row], step.param[row, count]
        for child in children(step, node, nodes):
            x = step.token[child]
            if step.coin[child] * draft[x] * factor < target[x]:
                node = child
                break
        else:
            passed = 0.0
            for y in range(len(weights)):
                weights[y] = min(target[y] / factor, draft[y])
                passed += weights[y]
            # (1 - (1 - b)^m) / b: how often the mass b is spent by m tests.
            spent, failed = 0.0, 1.0
            for _ in range(count):
                spent += failed
                failed *= 1.0 - passed
            for y in range(len(weights)):
                weights[y] = max(target[y] - weights[y] * spent, 0.0)
            return node, draw_weights(weights, step.coin[0])
    return node, -1
