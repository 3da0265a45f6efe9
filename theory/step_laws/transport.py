"""The step law of the rule ``transport``: at a node the plan of most acceptance (for a few tokens)."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import normalise, one_of, zeros

Integers = NDArray[np.integer]
Held = frozenset[int]
#: Probability of descending into each token, by the set of the children's tokens; what is left of the target.
Plan = tuple[dict[Held, Array], Array]


def node_step(target: Array, draft: Array, tokens: Integers) -> tuple[Array, Array]:
    """Follow the plan for children that were drawn independently."""
    return follow(target, draft, tokens, lambda row, tried: row)


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
            plans[key] = most_acceptance(rows[i], set_law(drafts[i], children, next_row))
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


def most_acceptance(target: Array, law: dict[Held, Any]) -> Plan:
    """Return a plan that maximises the acceptance (2310.15141, Section 4, in terms of sets).

    The mass of "the children are this set, descend into this token" is a flow from sets to tokens, bounded by
    the laws of both. Shortest augmenting paths make it a largest one.
    """
    flow = {(held, token): mass * 0 for held, mass in law.items() for token in held}
    room, left = dict(law), target.copy()
    for start in law:
        while room[start] > 0 and (path := _augmenting(start, flow, left)):
            forward, back = path[::2], path[1::2]
            amount = min(room[start], left[path[-1][1]], *(flow[edge] for edge in back))
            for edge in forward:
                flow[edge] += amount
            for edge in back:
                flow[edge] -= amount
            room[start] -= amount
            left[path[-1][1]] -= amount
    accept = {held: zeros(target.shape, target) for held in law}
    for (held, token), amount in flow.items():
        if law[held] > 0:
            accept[held][token] = amount / law[held]
    return accept, left


def _augmenting(start: Held, flow: dict[tuple[Held, int], Any], left: Array) -> list[tuple[Held, int]]:
    """Return a shortest path to a token with room: edges forward and back in turn; empty if there is none."""
    paths: dict[Held, list[tuple[Held, int]]] = {start: []}
    seen: set[int] = set()
    queue = [start]
    while queue:
        held = queue.pop(0)
        for token in sorted(held - seen):
            seen.add(token)
            path = [*paths[held], (held, token)]
            if left[token] > 0:
                return path
            for (other, end), amount in flow.items():
                if end == token and amount > 0 and other not in paths:
                    paths[other] = [*path, (other, token)]
                    queue.append(other)
    return []
