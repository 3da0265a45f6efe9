"""The step law of the rule ``transport-distinct``: the plan of most acceptance for children that differ.

Without replacement the tightest sets of tokens are not those that begin an order: the plan looks at all sets,
and the cuts make the order.
"""

from itertools import pairwise, permutations
from math import perm

import numpy as np
from numpy.typing import NDArray

from specsim.errors import TooLargeError
from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, divided, one_of, ones, zeros
from specsim.theory.step_laws.drafts import untried
from specsim.theory.step_laws.transport import Plan, follow, served

Integers = NDArray[np.integer]

_MOST_TOKENS, _MOST_DRAFTS = 16, 2**16
#: A share of floats, or a difference between two sets of tokens, that is none.
_ROUNDING = 1e-12


def node_step(target: Array, draft: Array, tokens: Integers) -> tuple[Array, Array]:
    """Follow the plan for children that were drawn without replacement."""
    return follow(target, draft, tokens, plan)


def plan(target: Array, draft: Array, children: int) -> Plan:
    """Cut as late as the shares of all sets in the acceptance allow, as ``transport`` does."""
    size, one = len(target), one_of(target)
    if size > _MOST_TOKENS or perm(size, children) > _MOST_DRAFTS:
        raise TooLargeError(
            f"transport-distinct plans over all sets of {size} tokens and orders of {children} children; "
            f"use at most {_MOST_TOKENS} tokens and {_MOST_DRAFTS} orders"
        )
    drawn = np.array([*permutations(range(size), children)])
    chance = ones((len(drawn),), target)
    for k in range(children):
        law = untried(np.broadcast_to(draft, (len(drawn), size)), drawn[:, :k])
        chance = chance * at_token(law, drawn[:, k : k + 1])[:, 0]
    sets = (np.arange(2**size)[:, None] >> np.arange(size)) & 1
    some = one - _all_within(drawn, chance, size)[::-1]
    order, taken = served(target, draft), zeros(target.shape, target)
    for x in order:
        taken[x] = min(target[x], (some - sets @ taken)[sets[:, x] == 1].min())
    tiny = 0 if target.dtype == object else _ROUNDING
    wanted, coin, coins = taken, one * 0, ones(target.shape, target)
    # Each share cuts some piece, and there are at most as many as tokens.
    for _ in range(size):
        now = _accepted(np.argsort(order), coins <= coin, drawn, chance)
        more, gap = sets @ (wanted - now), some - sets @ now
        shares = np.where(gap > tiny, divided(more, gap), one * 0)
        share = min(shares.max(), one)
        if share <= tiny:
            break
        coin = coin + (one - coin) * (one - share)
        wanted = now + (wanted - now) / share
        for members in sets[shares >= share]:
            ends = [0, *(np.flatnonzero(coins <= coin) + 1), size]
            for low, high in pairwise(ends):
                piece = order[low:high]
                inside = members[piece] == 1
                order[low:high] = [*piece[inside], *piece[~inside]]
                if inside.any():
                    end = low + inside.sum() - 1
                    coins[end] = min(coins[end], coin)
    return np.argsort(order), coins, target - taken


def _all_within(drawn: Integers, chance: Array, size: int) -> Array:
    """Return the probability that all children are in a set, by the number of the set."""
    found = zeros((2**size,), chance)
    np.add.at(found, (1 << drawn).sum(axis=1), chance)
    for token in range(size):
        halves = found.reshape(-1, 2, 2**token)
        halves[:, 1] = halves[:, 1] + halves[:, 0]
    return found


def _accepted(rank: Integers, cut: NDArray[np.bool_], drawn: Integers, chance: Array) -> Array:
    """Return how often each token is accepted with these cuts after ranks."""
    size = len(rank)
    following = np.minimum.accumulate(np.where(cut, np.arange(size), size)[::-1])[::-1]
    ends = following[rank[drawn].min(axis=1)]
    within = (rank[drawn] <= ends[:, None]) & (ends < size)[:, None]
    found = zeros((size,), chance)
    hit = within.any(axis=1)
    np.add.at(found, drawn[hit, within[hit].argmax(axis=1)], chance[hit])
    return found
