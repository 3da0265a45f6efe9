"""Functions of the time at which the target's draw is decided, for couplings of draft and target.

Every child of a node has noise of its own: events in continuous time, of which the target takes the first
that concerns it in any noise. With K children this is at a time t with density ``K exp(-K t)``, at each child
equally likely. What else happens until t are sums of exponentials ``exp(-rate t)``, whose mean is a rational
number. Floats are means by quadrature, exact numbers are carried as sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import entrywise, one_of

#: Step of the trapezoidal rule in the logarithm of the time. The integrand is analytic in a strip of half
#: width pi / 2, so that the error is about exp(-pi^2 / step), here 1e-16.
_STEP = 0.27
_TIMES = np.exp(_STEP * np.arange(-140, 16))


class Exponentials:
    """A sum of ``coefficient exp(-rate t)`` with exact numbers: its coefficients by rate."""

    def __init__(self, terms: dict[Any, Any]) -> None:
        self.terms = terms

    def __add__(self, other: Any) -> Exponentials:
        """Add another sum, or a number."""
        terms = dict(self.terms)
        for rate, coefficient in _terms(other, self).items():
            terms[rate] = terms.get(rate, coefficient * 0) + coefficient
        return Exponentials(terms)

    def __mul__(self, other: Any) -> Exponentials:
        """Multiply by another sum, or a number."""
        terms: dict[Any, Any] = {}
        for rate, coefficient in self.terms.items():
            for more, factor in _terms(other, self).items():
                terms[rate + more] = terms.get(rate + more, factor * 0) + coefficient * factor
        return Exponentials(terms)

    def __sub__(self, other: Any) -> Exponentials:
        return self + other * -1

    def __rsub__(self, other: Any) -> Exponentials:
        return self * -1 + other

    __radd__, __rmul__ = __add__, __mul__


def _terms(value: Any, like: Exponentials) -> dict[Any, Any]:
    if isinstance(value, Exponentials):
        return value.terms
    zero = next(iter(like.terms)) * 0
    return {zero: zero + value}


def decay(rates: Array) -> Array:
    """Return ``exp(-rate t)`` as functions of the time, with an axis more, ``(..., Q)``."""
    if rates.dtype != object:
        return np.exp(-rates[..., None] * _TIMES)
    return entrywise(lambda rate: Exponentials({rate: rate * 0 + 1}), rates)[..., None]


def mean(values: Array, children: int) -> Array:
    """Return the means ``(...)`` of functions ``(..., Q)`` of the time of the target's draw.

    Examples
    --------
    >>> mean(decay(np.array([0.0, 1.0])), 3).round(12).tolist()
    [1.0, 0.75]
    """
    if values.dtype != object:
        weights = _STEP * children * _TIMES * np.exp(-children * _TIMES)
        return values @ weights

    def exactly(value: Exponentials) -> Any:
        return sum(c * children / (rate + children) for rate, c in value.terms.items())

    return entrywise(exactly, values[..., 0])


def first_match(target: Array, matched: Array, elsewhere: Array, children: int) -> tuple[Array, Array]:
    """Return ``node`` of a rule that descends into the first child which is the target's draw.

    target: rows ``(..., V)``.
    matched, elsewhere: probability that a child is the token that the target draws, as functions of the
        time, ``(..., V, Q)``: for the child whose noise decided, and for any other.
    """
    missed, other = 1 - matched, 1 - elsewhere
    powers = [other * 0 + one_of(target)]
    for _ in range(children - 1):
        powers.append(powers[-1] * other)
    taken = []
    for k in range(children):
        # The deciding child is this one, one of those behind it, or one of the k before it.
        chance = powers[k] * (matched + (children - 1 - k) * elsewhere)
        if k:
            chance = chance + k * (missed * powers[k - 1] * elsewhere)
        taken.append(target * mean(chance, children) / children)
    return np.stack(taken, axis=-2), target * mean(missed * powers[-1], children)
