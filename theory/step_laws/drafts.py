"""How the children of a node are drawn: the law of the next one, on arrays of any numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from specsim.errors import InputError
from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import normalise, one_of, ones, without_tokens, zeros
from specsim.theory.step_laws.quadrature import time_points

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


def places(draft: Array, children: int) -> Array:
    """Return the law of each child of those drawn without replacement, ``(..., children, V)``.

    With a standard exponential over its weight as the time of each token, children come in order of time:
    token y is child k when k others come before it. Floats integrate this over the time of y; exact numbers
    add up the sets of tokens that can come first.
    """
    shape = draft.shape
    rows = draft.reshape(-1, shape[-1])
    if draft.dtype == object:
        found = np.stack([_places_exactly(row, children) for row in rows])
    else:
        size = max(1, 2**16 // (shape[-1] * children))
        parts = [_places(rows[first : first + size], children) for first in range(0, len(rows), size)]
        found = np.concatenate(parts)
    return found.reshape(*shape[:-1], children, shape[-1])


def _places(rows: NDArray[np.float64], children: int) -> NDArray[np.float64]:
    """Return the laws by integrals over the time of each token."""
    # Until a time at which some K tokens other than any given one have come, but for a chance of exp(-45).
    enough = np.sort(rows, axis=-1)[:, -children - 1 :]
    times, weights = time_points(1.0, 45 / enough[enough > 0].min())
    rates = rows.T[..., None] * times
    waits, come = np.exp(-rates), -np.expm1(-rates)
    found = np.empty((len(rows), children, rows.shape[1]))
    # Probability that 0, 1, ... have come of the tokens before y, for every y, and of those after it.
    before = np.zeros((len(waits) + 1, children, *waits.shape[1:]))
    before[0, 0] = 1
    for y in range(len(waits)):
        np.multiply(before[y], waits[y], out=before[y + 1])
        before[y + 1, 1:] += before[y, :-1] * come[y]
    behind = before[0].copy()
    for y in reversed(range(len(waits))):
        weighted = behind * (waits[y] * weights)
        for k in range(children):
            found[:, k, y] = np.einsum("jrq,jrq->r", before[y, : k + 1], weighted[k::-1])
        coming = behind[:-1] * come[y]
        behind *= waits[y]
        behind[1:] += coming
    found *= rows[:, None]
    # After the last token with weight, the others are equally likely.
    exhausted = np.arange(children)[:, None] >= (rows > 0).sum(axis=-1)[:, None, None]
    others = np.where(rows > 0, 0.0, 1.0)
    equal = others / np.maximum(others.sum(axis=-1, keepdims=True), 1)
    return np.where(exhausted, equal[:, None], found)


def _places_exactly(row: Array, children: int) -> Array:
    found = zeros((children, len(row)), row)
    sets: dict[frozenset[int], Any] = {frozenset(): one_of(row)}
    for k in range(children):
        grown: dict[frozenset[int], Any] = {}
        for held, mass in sets.items():
            law = mass * untried(row, np.array(sorted(held), dtype=np.int64))
            found[k] = found[k] + law
            for token in range(len(row)):
                if law[token] != 0:
                    following = held | {token}
                    grown[following] = grown.get(following, mass * 0) + law[token]
        sets = grown
    return found
