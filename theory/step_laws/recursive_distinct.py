"""The step law of the rule ``recursive-distinct``: recursive rejection of children that differ."""

import numpy as np
from numpy.typing import NDArray

from specsim.errors import TooLargeError
from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, capped, normalise, one_of, ones, positive, zeros
from specsim.theory.step_laws.drafts import untried

#: Numbers that are held at once: failed children times tokens.
_MOST_NUMBERS = {False: 2**26, True: 2**18}


def node_step(target: Array, draft: Array, tokens: NDArray[np.integer]) -> tuple[Array, Array]:
    """Test the children in turn, each by the last residual and the draft row less those before it."""
    row, drafts, left = target, draft, ones((*tokens.shape[:-1], 1), target)
    taken = zeros(tokens.shape, target)
    for k in range(tokens.shape[-1]):
        accepted = at_token(capped(row, drafts), tokens[..., k : k + 1])
        taken[..., k : k + 1] = left * accepted
        left = left * (one_of(target) - accepted)
        row = normalise(positive(row - drafts), row)
        drafts = untried(draft, tokens[..., : k + 1])
    return taken, left * row


def node(target: Array, draft: Array, children: int) -> tuple[Array, Array]:
    """Add up the failures that can come before each child; see `_row`."""
    shape = np.broadcast_shapes(target.shape, draft.shape)
    rows = [np.broadcast_to(table, shape).reshape(-1, shape[-1]) for table in (target, draft)]
    found = [_row(t, d, children) for t, d in zip(*rows, strict=True)]
    taken, final = (np.stack(parts) for parts in zip(*found, strict=True))
    return taken.reshape(*shape[:-1], children, shape[-1]), final.reshape(shape)


def _row(target: Array, draft: Array, children: int) -> tuple[Array, Array]:
    """Return what each child takes, ``(children, V)``, and what is left, of one row.

    A failure subtracts the present draft row, which is the first one over ``1 - s`` with the mass s of the
    tokens tried, and leaves none of these. So the target after any failures is ``(T - C D)_+`` over its mass
    M, and the next one has ``C + M / (1 - s)``: two numbers and the tokens tried say everything of the past.
    """
    one = one_of(target)
    taken = zeros((children, len(target)), target)
    # Of each past: C, the draft's weights that are left, and its probability.
    count, weights, chance = zeros((1, 1), target), draft[None], ones((1, 1), target)
    for k in range(children):
        if not (weights != 0).any():
            # Nothing is left of the draft, after any past: the other tokens are equally likely.
            others = np.where(draft != 0, one * 0, one)
            more, final = _row(normalise(target * others, others), normalise(others, others), children - k)
            taken[k:] = chance.sum() * more
            return taken, chance.sum() * final
        left = positive(target - count * draft)
        mass = left.sum(axis=-1, keepdims=True)
        row, drafts = normalise(left, left), normalise(weights, weights)
        taken[k] = (chance * np.minimum(row, drafts)).sum(axis=0)
        failed = chance * positive(drafts - row)
        count = count + mass / weights.sum(axis=-1, keepdims=True)
        if k + 1 < children:
            past, token = np.nonzero(failed)
            if len(past) * len(target) > _MOST_NUMBERS[target.dtype == object]:
                raise TooLargeError(
                    f"{children} different children of {len(target)} tokens can fail in {len(past)} ways; "
                    "use fewer drafts, a smaller vocabulary or simulation"
                )
            weights = weights[past]
            weights[np.arange(len(past)), token] = one * 0
            count, chance = count[past], failed[past, token][:, None]
    final = normalise(positive(target - count * draft), target)
    return taken, (failed.sum(axis=-1, keepdims=True) * final).sum(axis=0)
