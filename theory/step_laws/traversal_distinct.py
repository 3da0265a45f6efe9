"""The step law of the rule ``traversal-distinct``: traversal of children that differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import capped, divided, one_of, positive
from specsim.theory.step_laws import Numbers, State
from specsim.theory.step_laws.drafts import child_law, untried
from specsim.theory.step_laws.traversal import traverse

if TYPE_CHECKING:
    from specsim.algorithms import Structure


def law(structure: Structure, target: Array, draft: Array, tokens: NDArray[np.integer]) -> Array:
    """Traverse a tree of children that were drawn without replacement (2505.12398)."""
    return traverse(structure, target, draft, tokens, untried)


def state(structure: Structure) -> State:
    """Carry the weight, as for ``traversal``; the tokens that were tried before a child are its pasts."""
    return State(
        start=lambda ones: (ones,),
        node=_node,
        pasts=lambda children, tokens: sum(tokens**k for k in range(children)),
    )


def _node(
    numbers: Numbers, target: Array, draft: Array, children: int
) -> tuple[list[tuple[Array, Numbers]], Array]:
    one = one_of(target)
    # Of each past: weight, weight times target row, probability and the tokens tried.
    weight = numbers[0][..., None]
    left, reached = weight * target[:, None], weight * 0 + one
    tried = np.zeros((1, 0), dtype=np.int64)
    found: list[tuple[Array, Numbers]] = []
    stop = target * 0
    for k in range(children):
        row = child_law(draft[:, None], tried, children, "distinct")
        found.append((reached * row, (capped(left, row),)))
        failed = reached * positive(row - left)
        left = positive(left - row)
        mass = left.sum(axis=-1, keepdims=True)
        left, weight = divided(left, mass + one - weight), capped(mass, mass + one - weight)
        if k + 1 == children:
            stop = (failed.sum(axis=-1, keepdims=True) * left).sum(axis=1)
            break
        past, token = np.nonzero((failed != 0).any(axis=0))
        left, weight, reached = left[:, past], weight[:, past], failed[:, past, token][..., None]
        tried = np.concatenate([tried[past], token[:, None]], axis=-1)
    return found, stop
