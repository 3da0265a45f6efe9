"""How the children of a node are drawn: the law of the next one, on arrays of any numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from specsim.errors import InputError
from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import normalise, one_of, ones, without_tokens, zeros

if TYPE_CHECKING:
    from specsim.algorithms.rule import Drawing

Integers = NDArray[np.integer]


def child_law(
    draft: Array,
    before: Integers,
    children: int,
    drawing: Drawing,
    own: Callable[[Array, Integers, int], Array] | None = None,
) -> Array:
    """Return the law of the next child of a node.

    draft: the draft row of the node, ``(..., V)``.
    before: the children so far, ``(..., j)``.
    children: how many the node gets.
    drawing: how they are drawn, see `specsim.algorithms.rule.Drawing`.
    own: the rule's ``next_child``, for rules that draw their own drafts. Defaults to None, from the draft
        row, like independent ones.
    InputError: children that differ are asked for, and there are more than tokens.
    """
    if drawing == "independent" or (drawing == "own" and own is None):
        return draft
    if children > draft.shape[-1]:
        raise InputError(
            f"a node has {children} children, more than the {draft.shape[-1]} tokens; draw them independently"
        )
    if drawing == "distinct":
        return untried(draft, before)
    if drawing == "greedy":
        return likeliest(draft, before.shape[-1])
    assert own is not None
    return own(draft, before, children)


def untried(draft: Array, tried: Integers) -> Array:
    """Return rows ``(..., V)`` without the tried tokens ``(..., j)``, normalised.

    Uniform over the other tokens where the row has no more mass; the row itself when all are tried.

    Examples
    --------
    >>> untried(np.array([0.5, 0.25, 0.25]), np.array([0])).tolist()
    [0.0, 0.5, 0.5]
    """
    others = normalise(without_tokens(ones(draft.shape, draft), tried), draft)
    return normalise(without_tokens(draft, tried), others)


def likeliest(draft: Array, rank: int) -> Array:
    """Return the point mass on the token of this rank, 0 the likeliest; the lower token first in a tie."""
    chosen = zeros(draft.shape, draft)
    order = np.argsort(-draft, axis=-1, kind="stable")
    np.put_along_axis(chosen, order[..., rank, None], one_of(draft), axis=-1)
    return chosen
