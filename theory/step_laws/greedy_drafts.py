"""The step law of the rule ``greedy-drafts``: all children but the last are the likeliest tokens."""

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import (
    at_token,
    capped,
    normalise,
    one_of,
    positive,
    without_tokens,
    zeros,
)
from specsim.theory.step_laws.drafts import likeliest, untried

Integers = NDArray[np.integer]


def next_child(draft: Array, before: Integers, children: int) -> Array:
    """Take the likeliest tokens in turn, and draw the last child from the others."""
    rank = before.shape[-1]
    return untried(draft, before) if rank == children - 1 else likeliest(draft, rank)


def node_step(target: Array, draft: Array, tokens: Integers) -> tuple[Array, Array]:
    """Test the last child alone; the residual draw may be one of the others, whatever mass these have."""
    last = tokens.shape[-1] - 1
    drafts = untried(draft, tokens[..., :last])
    accepted = at_token(capped(target, drafts), tokens[..., last:])
    taken = zeros(tokens.shape, target)
    taken[..., last:] = accepted
    final = (one_of(target) - accepted) * normalise(positive(target - drafts), target)
    for k in range(last):
        taken[..., k : k + 1] = at_token(final, tokens[..., k : k + 1])
        final = without_tokens(final, tokens[..., k : k + 1])
    return taken, final


def node(target: Array, draft: Array, children: int) -> tuple[Array, Array]:
    """Accept min(T, D) of the last child's law D; of the rest of T the fixed children take their tokens."""
    fixed = np.argsort(-draft, axis=-1, kind="stable")[..., : children - 1]
    drafts = untried(draft, fixed)
    left = positive(target - drafts)
    taken = [left * likeliest(draft, rank) for rank in range(children - 1)]
    return np.stack([*taken, np.minimum(target, drafts)], axis=-2), without_tokens(left, fixed)
