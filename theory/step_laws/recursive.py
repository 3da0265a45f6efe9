"""The step law of the rule ``recursive``: test the children in turn, each failure replaces the target."""

import math

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, capped, normalise, one_of, ones, positive, zeros

#: More children than this are not passed one by one in float64.
_FEW = 64


def node_step(target: Array, draft: Array, tokens: NDArray[np.integer]) -> tuple[Array, Array]:
    """Test the children in turn by the target or the last residual."""
    row, left = target, ones((*tokens.shape[:-1], 1), target)
    taken = zeros(tokens.shape, target)
    for k in range(tokens.shape[-1]):
        accepted = at_token(capped(row, draft), tokens[..., k : k + 1])
        taken[..., k : k + 1] = left * accepted
        left = left * (one_of(target) - accepted)
        row = normalise(positive(row - draft), row)
    return taken, left * row


def node(target: Array, draft: Array, children: int) -> tuple[Array, Array]:
    """After k failures (T - C_k D)_+ is left of the target, with C_1 = 1 and C_{k+1} = C_k + its mass.

    This is Theorem 3 of 2411.00841 without normalisation; a child takes what the failures so far leave, less
    what they leave after it.
    """
    count = ones((*target.shape[:-1], 1), target)
    left, taken = target, []
    for _ in range(children):
        after = positive(target - count * draft)
        taken.append(left - after)
        left = after
        count = count + left.sum(axis=-1, keepdims=True)
    return np.stack(taken, axis=-2), left


def node_total(target: Array, draft: Array, children: int | float) -> tuple[Array, Array]:
    """Return what all children take together, T - (T - C D)_+; infinitely many take all that D proposes."""
    if children == math.inf:
        final = np.where(draft == 0, target, target * 0)
    elif target.dtype != object and children > _FEW:
        final = positive(target - _last_count(target, draft, children)[..., None] * draft)
    else:
        final = positive(target - draft)
        count = ones((*target.shape[:-1], 1), target)
        for _ in range(int(children) - 1):
            mass = final.sum(axis=-1, keepdims=True)
            if not (mass > 0).any():
                break
            count = count + mass
            final = positive(target - count * draft)
    return target - final, final


def _last_count(target: Array, draft: Array, children: int | float) -> Array:
    """Return C_children in float64 by jumps.

    While the same tokens have something left, C grows by an affine map, so that all steps until the next
    token is used up are one power.
    """
    ratio = np.divide(target, draft, out=np.full(target.shape, np.inf), where=draft > 0)
    ratio = np.where(target > 0, ratio, -np.inf)
    count = np.ones(target.shape[:-1])
    steps = np.full(count.shape, float(children - 1))
    for _ in range(target.shape[-1] + 1):
        alive = ratio > count[..., None]
        drafted = np.minimum(np.where(alive, draft, 0.0).sum(axis=-1), 1.0)
        growth = np.where(alive, target - count[..., None] * draft, 0.0).sum(axis=-1)
        # The count at which the next token is used up, in units of the limit of the affine map.
        next_used = np.where(alive, ratio, np.inf).min(axis=-1)
        moving = (drafted > 0) & (growth > 0) & (steps > 0)
        if not moving.any():
            break
        drafted, growth = np.where(moving, drafted, 1.0), np.where(moving, growth, 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.minimum((np.where(moving, next_used, 1.0) - count) * drafted / growth, 1.0)
            needed = np.where(share < 1, np.ceil(np.log1p(-share) / np.log1p(-drafted)), np.inf)
            made = np.where(moving, np.minimum(np.maximum(needed, 1.0), steps), 0.0)
            grown = -np.expm1(made * np.log1p(-drafted)) / drafted * growth
        count = count + np.where(moving, grown, 0.0)
        steps = steps - made
    return count
