"""The step law of the rule ``batch-as-printed``: recursive rejection at the root with one slip."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, capped, normalise, one_of, ones, positive, zeros
from specsim.theory.step_laws import node_wise


def node_step(target: Array, draft: Array, tokens: NDArray[np.integer], slip: str) -> tuple[Array, Array]:
    """Test the one drafted token of a node below the root."""
    accepted = at_token(capped(target, draft), tokens)
    return accepted, (one_of(target) - accepted) * normalise(positive(target - draft), target)


def root_step(target: Array, draft: Array, tokens: NDArray[np.integer], slip: str) -> tuple[Array, Array]:
    """Test the children of the root; the row in use after the last failure loses the draft once more."""
    row, left = target, ones((*tokens.shape[:-1], 1), target)
    taken = zeros(tokens.shape, target)
    for k in range(1 if slip == "inside-loop" else tokens.shape[-1]):
        accepted = at_token(capped(row, draft), tokens[..., k : k + 1])
        taken[..., k : k + 1] = left * accepted
        left = left * (one_of(target) - accepted)
        row = normalise(positive(row - draft), row)
    return taken, left * normalise(positive(row - draft), row)


law = partial(node_wise, node_step, root=root_step)


def node_total(target: Array, draft: Array, children: int, slip: str) -> tuple[Array, Array]:
    """Accept min(T, D) and stop with (T - D)_+, below the root."""
    accepted = np.minimum(target, draft)
    return accepted, target - accepted


def root_total(target: Array, draft: Array, children: int, slip: str) -> tuple[Array, Array]:
    """Accept what the failures do not leave; the rest goes to a row that is subtracted once too often."""
    count = ones((*target.shape[:-1], 1), target)
    left = target
    for _ in range(1 if slip == "inside-loop" else children):
        left = positive(target - count * draft)
        count = count + left.sum(axis=-1, keepdims=True)
    mass = left.sum(axis=-1, keepdims=True)
    return target - left, mass * normalise(positive(left - mass * draft), target)
