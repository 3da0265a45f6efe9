"""The step law of the rule ``spechub``: two children, one of which is the likeliest draft token, the hub."""

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, capped, normalise, one_of, positive, zeros
from specsim.theory.step_laws import ratio
from specsim.theory.step_laws.drafts import likeliest, untried

Integers = NDArray[np.integer]


def next_child(draft: Array, before: Integers, children: int) -> Array:
    """Draw the first child; the second is the hub, or another token if that was the first."""
    if before.shape[-1] != 1:
        return draft
    hub = likeliest(draft, 0)
    return np.where(at_token(hub, before) != 0, untried(draft, before), hub)


def node_step(target: Array, draft: Array, tokens: Integers) -> tuple[Array, Array]:
    """Divide what each pair takes of the target by the probability of the pair."""
    taken = zeros(tokens.shape, target)
    if tokens.shape[-1] == 1:
        return ratio.node_step(target, draft, tokens)
    hub, pairs, turned = _pairs(target, draft)
    other, behind, at_hub, left = _shares(target, hub, pairs, turned)
    first, second = tokens[..., :1], tokens[..., 1:2]
    swapped = at_token(hub, first) != 0
    one = one_of(target)
    in_order = at_token(capped(other, pairs), first)
    turned_round = at_token(capped(behind, turned), second)
    masses = [(pairs - other).sum(axis=-1, keepdims=True), (turned - behind).sum(axis=-1, keepdims=True)]
    hub_second, hub_first = (capped(share, mass) for share, mass in zip(at_hub, masses, strict=True))
    taken[..., :1] = np.where(swapped, (one - turned_round) * hub_first, in_order)
    taken[..., 1:2] = np.where(swapped, turned_round, (one - in_order) * hub_second)
    return taken, (one - taken.sum(axis=-1, keepdims=True)) * normalise(left, target)


def node(target: Array, draft: Array, children: int) -> tuple[Array, Array]:
    """Sum the pairs out."""
    if children == 1:
        accepted = np.minimum(target, draft)
        return accepted[..., None, :], target - accepted
    hub, pairs, turned = _pairs(target, draft)
    other, behind, (hub_second, hub_first), left = _shares(target, hub, pairs, turned)
    unseen = [target * 0] * (children - 2)
    return np.stack([other + hub * hub_first, behind + hub * hub_second, *unseen], axis=-2), left


def _pairs(target: Array, draft: Array) -> tuple[Array, Array, Array]:
    """Return the hub as a point mass, and the probabilities of (y, hub) and (hub, y) for each token y."""
    hub = likeliest(draft, 0)
    rest = untried(draft, np.argmax(hub, axis=-1, keepdims=True))
    return hub, draft - hub * draft, (hub * draft).sum(axis=-1, keepdims=True) * rest


def _shares(
    target: Array, hub: Array, pairs: Array, turned: Array
) -> tuple[Array, Array, tuple[Array, Array], Array]:
    """Return what is accepted of the target: tokens of (y, hub), of (hub, y), the hub as second and as first
    child ``(..., 1)``; and what is left.
    """  # noqa: D205
    other = np.minimum(target, pairs)
    behind = np.minimum(target - other, turned)
    mass = (hub * target).sum(axis=-1, keepdims=True)
    first = np.minimum(mass, (turned - behind).sum(axis=-1, keepdims=True))
    second = np.minimum(mass - first, (pairs - other).sum(axis=-1, keepdims=True))
    return other, behind, (second, first), positive(target - other - behind - hub * (first + second))
