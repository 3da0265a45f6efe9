"""The step law of the rule ``minhash``: draft and target are the first point below their rows.

Points (token, height) fall at random times, at rate 1 below each row of mass 1. Until the target's first
point at time t, the points below the draft row alone, which has mass TV there, decide a draft unless there is
none, with probability ``q = exp(-TV t)``. With K children, t has the density ``K exp(-K t)``, and the mean of
``q^m`` is ``K / (K + m TV)``. What happens is a polynomial in q.
"""

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, divided, one_of, positive, without_tokens, zeros


def node_step(target: Array, draft: Array, tokens: NDArray[np.integer]) -> tuple[Array, Array]:
    """Descend into the first child that is the target's draw, given all children.

    Given its token x, a child is decided before t with the odds (D - T)_+ / D of x and otherwise later.
    """
    children = tokens.shape[-1]
    early, mass = _early(target, draft)
    proposed = at_token(draft, tokens)
    ahead = divided(at_token(early, tokens), proposed)
    chance = [[ahead[..., k : k + 1], 1 - ahead[..., k : k + 1]] for k in range(children)]
    both = np.minimum(target, draft)
    law = zeros(np.broadcast_shapes(target.shape, draft.shape, (*tokens.shape[:-1], 1)), target)
    for k in range(children):
        rest = [mass * 0 + 1]
        for j in range(children):
            rest = _times(rest, chance[j]) if j != k else rest
        # The noise of child k decides: by a point of both rows, by which the child is the target's token, or
        # by one below the target row alone.
        before = _mean(_times(rest, [chance[k][0], -chance[k][0]]), mass, children)
        later = _mean([mass * 0, *rest], mass, children)
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
    early, mass = _early(target, draft)
    one = one_of(target)
    same = divided(np.minimum(target, draft), target)
    # That a child is y, or is not: when its own noise decides, and when that of another one does.
    own, other = [early, same + (one - same) * draft - early], [early, draft - early]
    not_own, not_other = ([one - first, -second] for first, second in (own, other))
    missed = [[mass * 0 + 1]]
    for _ in range(children):
        missed.append(_times(missed[-1], not_other))
    taken = []
    for k in range(children):
        # The deciding child is this one, one of those after it, or one of the k before it.
        terms = [(one, _times(missed[k], own)), (one * (children - 1 - k), _times(missed[k], other))]
        if k:
            terms.append((one * k, _times(_times(missed[k - 1], not_own), other)))
        chance = sum((weight * _mean(term, mass, children) for weight, term in terms), start=mass * 0)
        taken.append(target * chance / children)
    final = target * _mean(_times(missed[children - 1], not_own), mass, children)
    return np.stack(taken, axis=-2), final


def _early(target: Array, draft: Array) -> tuple[Array, Array]:
    """Return the law of a child that is decided early, and TV, ``(..., 1)``."""
    excess = positive(draft - target)
    mass = excess.sum(axis=-1, keepdims=True)
    return divided(excess, mass), mass


def _times(polynomial: list[Array], linear: list[Array]) -> list[Array]:
    """Return the product of two polynomials in q, the second of degree 1."""
    low = [coefficient * linear[0] for coefficient in polynomial]
    high = [coefficient * linear[1] for coefficient in polynomial]
    return [low[0], *(a + b for a, b in zip(low[1:], high, strict=False)), high[-1]]


def _mean(polynomial: list[Array], mass: Array, children: int) -> Array:
    """Return the mean of a polynomial in q."""
    return sum(
        (coefficient * children / (children + m * mass) for m, coefficient in enumerate(polynomial)),
        start=mass * 0,
    )
