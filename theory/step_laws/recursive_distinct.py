"""The step law of the rule ``recursive-distinct``: recursive rejection of children that differ."""

import numpy as np
from numpy.typing import NDArray

from specsim.errors import TooLargeError
from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import (
    at_token,
    capped,
    divided,
    normalise,
    one_of,
    ones,
    positive,
    scatter,
    zeros,
)
from specsim.theory.step_laws.drafts import untried

#: Numbers that are held at once: failures before the last child, or times tokens before those in between.
_MOST_NUMBERS = {False: 2**22, True: 2**18}


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
    M, and the next C is ``C + M / (1 - s)``: the tokens tried and two numbers say everything of the past.
    """
    one = one_of(target)
    left = [target]
    # Of each past: C, M, probability / M, the draft's weights that are left, and their sum.
    count, mass, share = zeros((1,), target), ones((1,), target), ones((1,), target)
    weights = draft[None]
    rest = weights.sum(axis=-1)
    for k in range(children):
        if not (rest != 0).any():
            # Nothing is left of the draft, after any past: the other tokens are equally likely.
            others = np.where(draft != 0, one * 0, one)
            more, final = _row(normalise(target * others, others), normalise(others, others), children - k)
            chance = left[-1].sum()
            return np.concatenate([_parts(left), chance * more]), chance * final
        after = count + mass / rest
        left.append(np.minimum(left[-1], _residuals(target, draft, after, share)))
        if k + 1 < children:
            subtracted = weights * (after - count)[:, None]
            kept = positive(target - count[:, None] * draft)
            mass = positive(target - after[:, None] * draft).sum(axis=-1)
            failed = divided(share, mass)[:, None] * positive(subtracted - kept)
            place = np.flatnonzero(failed)
            past, between = place // len(target), k + 2 < children
            if len(past) * (len(target) if between else 1) > _MOST_NUMBERS[target.dtype == object]:
                raise TooLargeError(
                    f"{children} different children of {len(target)} tokens can fail in {len(past)} ways; "
                    "use fewer drafts, a smaller vocabulary or simulation"
                )
            rest, share = _others(weights).ravel()[place], failed.ravel()[place]
            count, mass = after[past], mass[past]
            if between:
                weights = weights[past]
                weights[np.arange(len(past)), place % len(target)] = one * 0
    return _parts(left), left[-1]


def _parts(left: list[Array]) -> Array:
    """Return what each child takes, from what is left before the first and after each."""
    rows = np.stack(left)
    return rows[:-1] - rows[1:]


def _others(weights: Array) -> Array:
    """Return the sums of all weights but one, without a difference."""
    found = weights * 0
    found[:, 1:] = weights[:, :-1].cumsum(axis=-1)
    found[:, :-1] += weights[:, :0:-1].cumsum(axis=-1)[:, ::-1]
    return found


def _residuals(target: Array, draft: Array, counts: Array, shares: Array) -> Array:
    """Return the sum of shares times ``(T - C D)_+`` over many C."""
    turns = np.where(draft > 0, divided(target, draft), counts.max() + 1)
    order = np.argsort(turns, kind="stable")
    place = np.searchsorted(turns[order], counts)
    found = zeros(target.shape, target)
    size = len(target) + 1
    share, shared_count = (scatter(place, values, size)[:-1].cumsum() for values in (shares, shares * counts))
    found[order] = positive(target[order] * share - draft[order] * shared_count)
    return found
