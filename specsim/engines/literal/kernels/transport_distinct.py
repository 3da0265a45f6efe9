"""The kernel of the rule ``transport-distinct``."""

from itertools import permutations
from math import perm

import numpy as np

from specsim.engines.literal.kernels.transport import verify
from specsim.errors import TooLargeError

__all__ = ["prepare", "verify"]

MOST_TOKENS, MOST_DRAFTS = 16, 2**16
#: What two sets of tokens may differ by in float64.
ROUNDING = 1e-12


def prepare(target, draft, structure):
    """Return what ``transport`` reads, made of all sets of tokens: without replacement no order is given."""
    counts = sorted({len(structure.children(node)) for node in range(len(structure.parents))} - {0})
    size = target.shape[1]
    if size > MOST_TOKENS or perm(size, counts[-1]) > MOST_DRAFTS:
        raise TooLargeError(
            f"transport-distinct plans over all sets of {size} tokens and orders of {counts[-1]} children; "
            f"use at most {MOST_TOKENS} tokens and {MOST_DRAFTS} orders"
        )
    return np.stack(
        [np.concatenate([block(*rows, m) for m in counts]) for rows in zip(target, draft, strict=True)]
    )


def block(target, draft, m):
    """Return for one row m, then the ranks of the tokens, the coins of the cuts, and what is left."""
    size, none = len(target), draft[0] * 0
    drafts, chances = [], []
    for drawn in permutations(range(size), m):
        chance, before = none + 1, []
        for x in drawn:
            weights = [none if y in before else draft[y] for y in range(size)]
            if not sum(weights) > 0:
                weights = [none if y in before else none + 1 for y in range(size)]
            chance, before = chance * weights[x] / sum(weights), [*before, x]
        drafts.append(drawn)
        chances.append(chance)
    drafts, chances = np.array(drafts), np.array(chances)
    sets = (np.arange(2**size)[:, None] >> np.arange(size)) % 2
    # Of each set: how often a child is in it, one token after the other.
    some = np.full(2**size, none)
    for s, chance in zip((2**drafts).sum(axis=1), chances, strict=True):
        some += np.where(np.arange(2**size) & s, chance, none)
    # Ranks to begin with: by T / D, undrafted tokens last.
    order = sorted(range(size), key=lambda y: (-target[y] / draft[y] if draft[y] > 0 else 1, y))
    owed = np.full(size, none)
    for x in order:
        owed[x] = min(target[x], (some - sets @ owed)[sets[:, x] > 0].min())
    left, coins, now, cut = target - owed, [none + 1] * size, none, [False] * size
    while now < 1 and not all(cut):
        # What is accepted between the present cuts, token by token.
        rank, rate = np.argsort(order), np.full(size, none)
        ends = [min((i for i in range(first, size) if cut[i]), default=-1) for first in range(size)]
        for drawn, chance in zip(rank[drafts], chances, strict=True):
            for place in drawn:
                if place <= ends[drawn.min()]:
                    rate[order[place]] += chance
                    break
        spare = some - sets @ rate
        waits = spare > (ROUNDING if target.dtype == float else 0)
        due = np.where(waits, (some - sets @ owed - now * (sets @ rate)) / np.where(waits, spare, 1), 1)
        following = min(max(due.min(), now), none + 1)
        owed, now = owed - rate * (following - now), following
        for members in sets[waits & (due <= now)] if now < 1 else ():
            for piece in np.split(np.arange(size), np.flatnonzero(cut) + 1):
                inside = [order[i] for i in piece if members[order[i]]]
                if inside:
                    order[piece[0] : piece[-1] + 1] = inside + [
                        order[i] for i in piece if not members[order[i]]
                    ]
                    end = piece[0] + len(inside) - 1
                    coins[end], cut[end] = (coins[end], True) if cut[end] else (now, True)
    return np.concatenate([[none + m], np.argsort(order), coins, np.maximum(left, 0)])
