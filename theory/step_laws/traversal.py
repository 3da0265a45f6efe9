"""The step law of the rule ``traversal``: leaves first, each failure deletes a leaf."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, capped, normalise, one_of, ones, positive, zeros
from specsim.theory.step_laws import Numbers, State

if TYPE_CHECKING:
    from specsim.algorithms import Structure

Integers = NDArray[np.integer]


def law(structure: Structure, target: Array, draft: Array, tokens: Integers) -> Array:
    """Traverse a tree of children that were drawn independently (2505.12398)."""
    return traverse(structure, target, draft, tokens, lambda row, tried: row)


def state(structure: Structure) -> State:
    """Carry the weight w of a node: with it the node or something below is accepted, as of a block.

    Of the target row, at first ``U = w T``, a child takes ``min(r D, U)``, where r is the probability that
    the children before it fail: ``1 - w`` and the sum of U. What happens below a child does not matter for
    those after it.
    """
    return State(start=lambda ones: (ones,), node=_node, pasts=lambda children, tokens: children)


def _node(
    numbers: Numbers, target: Array, draft: Array, children: int
) -> tuple[list[tuple[Array, Numbers]], Array]:
    (weight,) = numbers
    found: list[tuple[Array, Numbers]] = []
    left, reached = weight * target, draft
    for _ in range(children):
        found.append((reached[:, None], (capped(left, reached)[:, None],)))
        left = positive(left - reached)
        reached = (one_of(target) - weight + left.sum(axis=-1, keepdims=True)) * draft
    return found, left


def after_failure(weight: Array, target: Array, draft: Array) -> tuple[Array, Array]:
    """Return weight ``(..., 1)`` and target row of a node when a child of it was deleted."""
    excess = positive(weight * target - draft)
    mass = excess.sum(axis=-1, keepdims=True)
    return capped(mass, mass + one_of(target) - weight), normalise(excess, target)


def traverse(
    structure: Structure,
    target: Array,
    draft: Array,
    tokens: Integers,
    next_row: Callable[[Array, Integers], Array],
    update: Callable[[Array, Array, Array], tuple[Array, Array]] = after_failure,
) -> Array:
    """Return the law of accepting the first path to a leaf by its weight, or deleting the leaf.

    structure, target, draft, tokens: as for ``law``.
    next_row: draft row of a node and the tokens of its deleted children to the row for those that are left.
    update: what a failure makes of the parent's weight and target row.
    """
    found = zeros(np.broadcast_shapes(target.shape, (*tokens.shape, 1)), target)
    rows = [target[..., node, :] for node in range(found.shape[-2])]
    drafts = [draft[..., node, :] for node in range(found.shape[-2])]
    left = [list(structure.children(node)) for node in range(found.shape[-2])]
    tried: list[list[int]] = [[] for _ in left]
    open_mass = ones((*found.shape[:-2], 1), target)
    weights = {0: open_mass}
    while left[0]:
        node = 0
        while left[node]:
            child = left[node][0]
            if child not in weights:
                token = tokens[..., child : child + 1]
                weights[child] = capped(
                    weights[node] * at_token(rows[node], token), at_token(drafts[node], token)
                )
            node = child
        found[..., node, :] = open_mass * weights[node] * rows[node]
        open_mass = open_mass * (one_of(target) - weights[node])
        parent = structure.parents[node]
        tried[parent].append(left[parent].pop(0))
        weights[parent], rows[parent] = update(weights[parent], rows[parent], drafts[parent])
        drafts[parent] = next_row(draft[..., parent, :], tokens[..., tried[parent]])
    found[..., 0, :] = open_mass * rows[0]
    return found
