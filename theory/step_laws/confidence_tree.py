"""The step law of the rule ``confidence-tree``: a match on the nodes of the likeliest paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, ones, without_tokens, zeros

if TYPE_CHECKING:
    from specsim.algorithms import Structure


def law(structure: Structure, target: Array, draft: Array, tokens: NDArray[np.integer], size: int) -> Array:
    """Descend with the target's mass of a child that is kept; a token is emitted with what is left.

    A path is as likely as the product of the draft's probabilities along it. No node is likelier than its
    parent, so that what is kept is a tree.
    """
    found = zeros(np.broadcast_shapes(target.shape, (*tokens.shape, 1)), target)
    nodes = found.shape[-2]
    score = ones(found.shape[:-1], target)
    for node in range(1, nodes):
        parent = structure.parents[node]
        score[..., node] = (
            score[..., parent] * at_token(draft[..., parent, :], tokens[..., node, None])[..., 0]
        )
    order = np.argsort(-score[..., 1:], axis=-1, kind="stable")
    kept = np.argsort(order, axis=-1) < size
    reached = ones(found.shape[:-1], target)
    for node in range(nodes):
        here = reached[..., node, None]
        left = here * target[..., node, :]
        for child in structure.children(node):
            token = tokens[..., child, None]
            taken = np.where(kept[..., child - 1, None], at_token(left, token), here * 0)
            reached[..., child] = taken[..., 0]
            left = np.where(kept[..., child - 1, None], without_tokens(left, token), left)
        found[..., node, :] = left
    return found
