"""The step law of the rule ``minhash``: draft and target are the first point below their rows.

Points (token, height) fall at random times, at rate 1 below each row of mass 1. Until the target's first
point at time t, the points below the draft row alone, which has mass TV there, decide a draft unless there is
none, with probability ``exp(-TV t)``.
"""

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, divided, positive, without_tokens, zeros
from specsim.theory.step_laws.shared_noise import decay, first_match, mean


def node_step(target: Array, draft: Array, tokens: NDArray[np.integer]) -> tuple[Array, Array]:
    """Descend into the first child that is the target's draw, given all children.

    Given its token x, a child is decided before t with the odds (D - T)_+ / D of x and otherwise later.
    """
    children = tokens.shape[-1]
    early, undecided = _early(target, draft)
    proposed = at_token(draft, tokens)
    ahead = divided(at_token(early, tokens), proposed)
    chance = ahead[..., None] * (1 - undecided) + undecided
    both = np.minimum(target, draft)
    law = zeros(np.broadcast_shapes(target.shape, draft.shape, (*tokens.shape[:-1], 1)), target)
    for k in range(children):
        rest = undecided * 0 + 1
        for j in range(children):
            if j != k:
                rest = rest * chance[..., j : j + 1, :]
        # The noise of child k decides: by a point of both rows, by which the child is the target's token, or
        # by one below the target row alone.
        before = mean(ahead[..., k : k + 1, None] * (1 - undecided) * rest, children)
        later = mean(undecided * rest, children)
        law = law + target * before + (target - both) * later
        same = divided(later * at_token(both, tokens[..., k : k + 1]), proposed[..., k : k + 1])
        law = law + same * (1 - without_tokens(target * 0 + 1, tokens[..., k : k + 1]))
    law = law / children
    taken = zeros(tokens.shape, target)
    for k in range(children):
        taken[..., k : k + 1] = at_token(law, tokens[..., k : k + 1])
        law = without_tokens(law, tokens[..., k : k + 1])
    return taken, law


def node(target: Array, draft: Array, children: int) -> tuple[Array, Array]:
    """Sum the children out: a child is the token y early, or later by a point of its own, or by the same."""
    early, undecided = _early(target, draft)
    before = early[..., None] * (1 - undecided)
    same = divided(np.minimum(target, draft), target)
    matched = before + (same + (1 - same) * draft)[..., None] * undecided
    return first_match(target, matched, before + draft[..., None] * undecided, children)


def _early(target: Array, draft: Array) -> tuple[Array, Array]:
    """Return the law of a child that is decided early, and the probability of no decision."""
    excess = positive(draft - target)
    mass = excess.sum(axis=-1, keepdims=True)
    return divided(excess, mass), decay(mass)
