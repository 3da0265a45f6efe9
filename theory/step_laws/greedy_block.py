"""The step law of the rule ``greedy-block``: the path of the highest rank is verified as a block."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, capped, divided, ones, positive, zeros
from specsim.theory.step_laws import Numbers, State, block
from specsim.theory.step_laws.two_step import by_quotient, powers, upto_each

if TYPE_CHECKING:
    from specsim.algorithms import Structure

Integers = NDArray[np.integer]


def law(structure: Structure, target: Array, draft: Array, tokens: Integers) -> Array:
    """Select a path, and give the law of its block to its nodes."""
    found = zeros(np.broadcast_shapes(target.shape, (*tokens.shape, 1)), target)
    if not structure.depth:
        return found + target
    shape = found.shape[:-2]
    target, draft = (np.broadcast_to(rows, found.shape) for rows in (target, draft))
    tokens = np.broadcast_to(tokens, found.shape[:-1])
    drafts = len(structure.children(0))
    paths = np.array([_path(structure, child) for child in structure.children(0)])
    # Every path starts among the best; those that lose are dropped, and the first that is left is selected.
    kept = np.ones((*shape, drafts), dtype=bool)
    node = np.zeros((*shape, 1), dtype=np.int64)
    below, mass = zeros((*shape, 1), target), ones((*shape, 1), target)
    laws = []
    for depth in range(structure.depth):
        t, d = (_at_nodes(table, node)[..., 0, :] for table in (target, draft))
        order = by_quotient(t, d)
        rank, upto = np.argsort(order, axis=-1), upto_each(d, order)
        starts, ends = below + mass * (upto - d), below + mass * upto
        laws.append(divided(d * powers(starts, ends, drafts), powers(below, below + mass, drafts)))
        drawn = tokens[..., paths[:, depth]]
        ranks = np.where(kept, at_token(rank, drawn), -1)
        kept &= ranks == ranks.max(axis=-1, keepdims=True)
        first = np.argmax(kept, axis=-1)[..., None]
        x = np.take_along_axis(drawn, first, axis=-1)
        below, mass = at_token(starts, x), mass * at_token(d, x)
        node = paths[first, depth]
    nodes = np.concatenate([first * 0, paths[first[..., 0]]], axis=-1)
    along = block.law(
        type(structure)((1,) * structure.depth),
        _at_nodes(target, nodes),
        np.stack([*laws, laws[-1]], axis=-2),
        np.take_along_axis(tokens, nodes, axis=-1),
    )
    np.put_along_axis(found, nodes[..., None], along, axis=-2)
    return found


def state(structure: Structure) -> State:
    """Carry what the law of the selected path needs besides the weight of the block.

    That is the mass of the paths that rank below its beginning, and the mass of its beginning.
    """
    return State(
        start=lambda ones: (ones, ones * 0, ones),
        node=partial(_node, len(structure.children(0))),
        pasts=lambda children, tokens: 1,
    )


def _node(
    drafts: int, numbers: Numbers, target: Array, draft: Array, children: int
) -> tuple[list[tuple[Array, Numbers]], Array]:
    weight, below, mass = numbers
    upto = upto_each(draft, by_quotient(target, draft))
    starts, ends = below + mass * (upto - draft), below + mass * upto
    law = divided(draft * powers(starts, ends, drafts), powers(below, below + mass, drafts))
    after = capped(weight * target, law), starts, mass * draft
    return [(law[:, None], tuple(number[:, None] for number in after))], positive(weight * target - law)


def _path(structure: Structure, node: int) -> list[int]:
    path = [node]
    while structure.children(path[-1]):
        path.append(structure.children(path[-1])[0])
    return path


def _at_nodes(table: Array, nodes: Integers) -> Array:
    return np.take_along_axis(table, nodes[..., None], axis=-2)
