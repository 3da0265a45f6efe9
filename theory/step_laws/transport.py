"""The step law of the rule ``transport``: at a node the plan of most acceptance.

Plans of most acceptance are many. This one serves tokens in the order of target / draft, the largest first:
each gets as much as it can beside those before it, which leaves the least to be drawn instead (a polymatroid;
any order has the same total). What it accepts of each token is known in closed form where children are drawn
independently; what it does with given children is a flow over all sets of tokens, for a few tokens.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import divided, normalise, one_of, positive, zeros

Integers = NDArray[np.integer]
Held = frozenset[int]
#: Probability of descending into each token, by the set of the children's tokens; what is left of the target.
Plan = tuple[dict[Held, Array], Array]


def node_step(target: Array, draft: Array, tokens: Integers) -> tuple[Array, Array]:
    """Follow the plan for children that were drawn independently."""
    return follow(target, draft, tokens, lambda row, tried: row)


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


def follow(
    target: Array, draft: Array, tokens: Integers, next_row: Callable[[Array, Integers], Array]
) -> tuple[Array, Array]:
    """Return the step that follows the plan of each row.

    target, draft, tokens: as for ``node_step``.
    next_row: draft row and the tokens of the children so far to the law of the next child.
    """
    children, vocabulary = tokens.shape[-1], target.shape[-1]
    shape = np.broadcast_shapes(target.shape[:-1], draft.shape[:-1], tokens.shape[:-1])
    rows, drafts = (np.broadcast_to(t, (*shape, vocabulary)).reshape(-1, vocabulary) for t in (target, draft))
    drawn = np.broadcast_to(tokens, (*shape, children)).reshape(-1, children)
    taken, final = zeros(drawn.shape, target), zeros(rows.shape, target)
    plans: dict[tuple[Any, ...], Plan] = {}
    for i, held in enumerate(drawn.tolist()):
        key = (*rows[i], *drafts[i])
        if key not in plans:
            order = served(rows[i], drafts[i]).tolist()
            plans[key] = most_acceptance(rows[i], set_law(drafts[i], children, next_row), order)
        accept, left = plans[key]
        chosen = accept[frozenset(held)]
        for k, token in enumerate(held):
            if token not in held[:k]:
                taken[i, k] = chosen[token]
        final[i] = (one_of(target) - chosen.sum()) * normalise(left, rows[i])
    return taken.reshape(*shape, children), final.reshape(*shape, vocabulary)


def set_law(draft: Array, children: int, next_row: Callable[[Array, Integers], Array]) -> dict[Held, Any]:
    """Return the law of the set of the children's tokens; sets of probability 0 included."""
    law: dict[Held, Any] = {}
    for drawn in product(range(len(draft)), repeat=children):
        mass = one_of(draft)
        for k, token in enumerate(drawn):
            mass = mass * next_row(draft, np.array(drawn[:k], dtype=np.int64))[token]
        law[frozenset(drawn)] = law.get(frozenset(drawn), mass * 0) + mass
    return law


def most_acceptance(target: Array, law: dict[Held, Any], order: list[int]) -> Plan:
    """Return the plan that serves the tokens in order (2310.15141, Section 4, in terms of sets).

    The mass of "the children are this set, descend into this token" is a flow from tokens to sets, bounded by
    the laws of both. Shortest augmenting paths from a token raise its flow as far as it goes, and leave the
    totals of those before it.
    """
    flow = {(held, token): mass * 0 for held, mass in law.items() for token in held}
    holding: dict[int, list[Held]] = {token: [held for held in law if token in held] for token in order}
    room, left = dict(law), target.copy()
    for start in order:
        while left[start] > 0 and (path := _augmenting(start, flow, room, holding)):
            forward, back = path[::2], path[1::2]
            amount = min(left[start], room[path[-1][0]], *(flow[edge] for edge in back))
            for edge in forward:
                flow[edge] += amount
            for edge in back:
                flow[edge] -= amount
            room[path[-1][0]] -= amount
            left[start] -= amount
    accept = {held: zeros(target.shape, target) for held in law}
    for (held, token), amount in flow.items():
        if law[held] > 0:
            accept[held][token] = amount / law[held]
    return accept, left


def _augmenting(
    start: int, flow: dict[tuple[Held, int], Any], room: dict[Held, Any], holding: dict[int, list[Held]]
) -> list[tuple[Held, int]]:
    """Return a shortest path to a set with room: edges forward and back in turn; empty if there is none."""
    paths: dict[int, list[tuple[Held, int]]] = {start: []}
    seen: set[Held] = set()
    queue = [start]
    while queue:
        token = queue.pop(0)
        for held in holding[token]:
            if held in seen:
                continue
            seen.add(held)
            path = [*paths[token], (held, token)]
            if room[held] > 0:
                return path
            for other in sorted(held):
                if other not in paths and flow[held, other] > 0:
                    paths[other] = [*path, (held, other)]
                    queue.append(other)
    return []
