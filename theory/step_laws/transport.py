"""The step law of the rule ``transport``: at a node, the plan that accepts most.

Several plans accept most. This one serves tokens in the order of target / draft, the largest first: each
gets as much as is possible together with those before it (a polymatroid: any order has the same total). A
coin says how finely the order is cut into pieces. The first piece that contains a child is taken, and in it
the child that was drawn first; tokens after the last cut are rejected.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, divided, normalise, one_of, ones, positive, zeros

Integers = NDArray[np.integer]
#: Of one row: the rank of each token, by rank the coin from which on there is a cut after, and what is left.
Plan = tuple[Integers, Array, Array]


def node_step(target: Array, draft: Array, tokens: Integers) -> tuple[Array, Array]:
    """Follow the plan for children that were drawn independently."""
    return follow(target, draft, tokens, plan)


def node_total(target: Array, draft: Array, children: int) -> tuple[Array, Array]:
    """Serve the tokens in order, as long as those so far are among the children often enough.

    Of the first tokens in the order, with mass d in the draft, some child is one with ``1 - (1 - d)^K``. No
    set of tokens can be accepted more often than some child is in it, and sets that begin the order are the
    tightest.
    """
    order = served(target, draft)
    asked = np.take_along_axis(np.where(draft > 0, target, target * 0), order, axis=-1).cumsum(axis=-1)
    drawn = np.take_along_axis(draft, order, axis=-1).cumsum(axis=-1)
    one = one_of(target)
    missing = np.minimum.accumulate(one - (one - drawn) ** children - asked, axis=-1)
    upto = asked + np.minimum(missing, one * 0)
    parts = np.concatenate([upto[..., :1], upto[..., 1:] - upto[..., :-1]], axis=-1)
    taken = zeros(target.shape, target)
    np.put_along_axis(taken, order, positive(parts), axis=-1)
    taken = np.minimum(taken, target)
    return taken, target - taken


def served(target: Array, draft: Array) -> Integers:
    """Return the tokens by target / draft, the largest first, in a tie by token; undrafted ones last."""
    quotients = np.where(draft > 0, divided(target, draft), -one_of(target))
    return np.argsort(-quotients, axis=-1, kind="stable")


def plan(target: Array, draft: Array, children: int) -> Plan:
    """Cut a block of tokens as late as its shares of the acceptance allow, then the blocks between the cuts.

    Without cuts a block accepts by the draft; from a coin on, by what the cuts make of it, in all as wanted.
    """
    order, (taken, left) = served(target, draft), node_total(target, draft, children)
    one, start = one_of(target), zeros((1,), target)
    mass, wanted = (np.concatenate([start, values[order].cumsum()]) for values in (draft, taken))
    some = one - (one - mass) ** children
    coins = ones(mass.shape, target)
    blocks: list[Any] = [(0, None, one * 0, wanted)]
    while blocks:
        low, high, coin, wanted = blocks.pop()
        inside = slice(low + 1, high)
        # After the last cut nothing is accepted.
        now = some[low] + zeros(mass[inside].shape, target)
        if high is not None and mass[high] > mass[low]:
            now = now + (some[high] - some[low]) / (mass[high] - mass[low]) * (mass[inside] - mass[low])
        shares = np.minimum(divided(positive(wanted[inside] - now), some[inside] - now), one)
        if not shares.size or not (share := shares.max()) > 0:
            continue
        coin = coin + (one - coin) * (one - share)
        wanted = wanted.copy()
        wanted[inside] = now + (wanted[inside] - now) / share
        ends = (low + 1 + np.flatnonzero(shares == share)).tolist()
        coins[ends] = coin
        blocks += [(*block, coin, wanted) for block in pairwise([low, *ends, high])]
    return np.argsort(order), coins[1:], left


def follow(
    target: Array, draft: Array, tokens: Integers, plan: Callable[[Array, Array, int], Plan]
) -> tuple[Array, Array]:
    """Return the step that follows the plan of each row; the other arguments are as for ``node_step``."""
    children, vocabulary = tokens.shape[-1], target.shape[-1]
    shape = np.broadcast_shapes(target.shape[:-1], draft.shape[:-1], tokens.shape[:-1])
    rows, drafts = (np.broadcast_to(t, (*shape, vocabulary)).reshape(-1, vocabulary) for t in (target, draft))
    drawn = np.broadcast_to(tokens, (*shape, children)).reshape(-1, children)
    keys = [(*row, *law) for row, law in zip(rows, drafts, strict=True)]
    plans = {key: plan(np.array(key[:vocabulary]), np.array(key[vocabulary:]), children) for key in {*keys}}
    ranks, coins, left = (np.stack(parts) for parts in zip(*(plans[key] for key in keys), strict=True))
    rank = at_token(ranks, drawn)
    lowest = np.minimum.accumulate(rank, axis=-1)
    # Probability that there is no cut from the lowest rank on until before a rank: that the piece reaches it.
    behind = np.where(np.arange(vocabulary) >= lowest[:, -1:], coins, one_of(target))
    reaches = np.concatenate(
        [ones(behind[:, :1].shape, target), np.minimum.accumulate(behind, axis=-1)], axis=-1
    )
    before = np.concatenate([np.full_like(rank[:, :1], vocabulary), lowest[:, :-1]], axis=-1)
    taken = positive(at_token(reaches, rank) - at_token(reaches, before))
    final = reaches[:, -1:] * normalise(left, rows)
    return taken.reshape(*shape, children), final.reshape(*shape, vocabulary)
