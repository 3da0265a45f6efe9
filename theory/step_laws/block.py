"""The step law of the rule ``block``: the longest prefix whose test passes is accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, capped, normalise, one_of, ones, positive, zeros
from specsim.theory.step_laws import Numbers, State

if TYPE_CHECKING:
    from specsim.algorithms import Structure


def law(structure: Structure, target: Array, draft: Array, tokens: NDArray[np.integer]) -> Array:
    """Every test has its own coin, so that the last success is at i when all later ones fail.

    With the weight w_i = min(1, w_{i-1} T / D) the test at i passes with S / (S + 1 - w_i), where S is the
    mass of (w_i T - D)_+; at the last token it passes with w_i (2403.10444, Algorithm 2).
    """
    length = structure.depth
    found = zeros(np.broadcast_shapes(target.shape, (*tokens.shape, 1)), target)
    one = one_of(target)
    weight = ones((*found.shape[:-2], 1), target)
    passed, rows = [], []
    for i in range(length):
        excess = positive(weight * target[..., i, :] - draft[..., i, :])
        mass = excess.sum(axis=-1, keepdims=True)
        # Nothing to be replaced at weight 1: the test passes. The root is accepted without a test.
        passed.append(capped(mass, mass + one - weight) if i else ones(weight.shape, target))
        rows.append(normalise(excess, target[..., i, :]))
        token = tokens[..., i + 1 : i + 2]
        weight = capped(weight * at_token(target[..., i, :], token), at_token(draft[..., i, :], token))
    later_fail = one - weight
    found[..., length, :] = weight * target[..., length, :]
    for i in reversed(range(length)):
        found[..., i, :] = later_fail * passed[i] * rows[i]
        later_fail = later_fail * (one - passed[i])
    return found


def state(structure: Structure) -> State:
    """Carry the weight of a path: it is accepted with it, and stops with ``(weight T - D)_+``.

    This is the lemma behind Theorem 1 of 2403.10444, so that no test has to be carried along.
    """
    return State(start=lambda ones: (ones,), node=_node, pasts=lambda children, tokens: 1)


def _node(
    numbers: Numbers, target: Array, draft: Array, children: int
) -> tuple[list[tuple[Array, Numbers]], Array]:
    (weight,) = numbers
    after = capped(weight * target, draft)
    return [(draft[:, None], (after[:, None],))], positive(weight * target - draft)
