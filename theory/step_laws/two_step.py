"""The step law of the rule ``two-step``: the child of the largest quotient is tested alone."""

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, capped, divided, normalise, one_of, positive, zeros


def node_step(target: Array, draft: Array, tokens: NDArray[np.integer]) -> tuple[Array, Array]:
    """Find the child of the highest rank, and test it by the law of the highest rank."""
    children = tokens.shape[-1]
    law, rank = selection(target, draft, children)
    ranks = at_token(rank, tokens)
    chosen = np.argmax(ranks, axis=-1)[..., None]
    accepted = at_token(
        capped(target, law), np.take_along_axis(np.broadcast_to(tokens, ranks.shape), chosen, axis=-1)
    )
    taken = zeros(ranks.shape, target)
    np.put_along_axis(taken, chosen, accepted, axis=-1)
    return taken, (one_of(target) - accepted) * normalise(positive(target - law), target)


def node(target: Array, draft: Array, children: int) -> tuple[Array, Array]:
    """Select child k as y when those before it rank below y, and those after it at most as y."""
    upto = upto_each(draft, by_quotient(target, draft))
    below = upto - draft
    weights = [below**k * upto ** (children - 1 - k) * draft for k in range(children)]
    law = sum(weights[1:], start=weights[0])
    accepted = np.minimum(target, law)
    return np.stack([accepted * divided(weight, law) for weight in weights], axis=-2), target - accepted


def selection(target: Array, draft: Array, children: int) -> tuple[Array, NDArray[np.integer]]:
    """Return the law of the selected token, and the ranks of the tokens by target / draft, lowest first.

    Equal quotients rank by token. Tokens that are never drafted come first.
    """
    order = by_quotient(target, draft)
    upto = upto_each(draft, order)
    return draft * powers(upto - draft, upto, children), np.argsort(order, axis=-1, kind="stable")


def by_quotient(target: Array, draft: Array) -> NDArray[np.integer]:
    """Return the tokens by target / draft, the lowest first, in a tie by token; undrafted ones first."""
    quotients = np.where(draft > 0, divided(target, draft), -one_of(target))
    return np.argsort(quotients, axis=-1, kind="stable")


def powers(low: Array, high: Array, count: int) -> Array:
    """Return ``(high^count - low^count) / (high - low)``, as a sum that no difference spoils."""
    return sum((low ** (count - 1 - k) * high**k for k in range(1, count)), start=low ** (count - 1))


def upto_each(draft: Array, order: NDArray[np.integer]) -> Array:
    """Return the draft's mass of the tokens in order, up to each token."""
    shape = np.broadcast_shapes(draft.shape, order.shape)
    draft, order = np.broadcast_to(draft, shape), np.broadcast_to(order, shape)
    found = zeros(shape, draft)
    np.put_along_axis(found, order, np.take_along_axis(draft, order, axis=-1).cumsum(axis=-1), axis=-1)
    return found
