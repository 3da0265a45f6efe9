"""Functions of the time at which the target's draw is decided, for couplings of draft and target.

Every child of a node has its own noise: events in continuous time, of which the target takes the first
that concerns it in any noise. With K children this is at a time t with density ``K exp(-K t)``, at each child
equally likely. What else happens until t are sums of exponentials ``exp(-rate t)``, whose mean is a rational
number. Floats are means by quadrature, exact numbers are carried as sums.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import entrywise
from specsim.theory.step_laws.quadrature import time_points

#: Takes the means ``(...)`` of functions ``(..., Q)`` of the time.
Mean = Callable[[Array], Array]


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


def decays(rates: Array, children: int) -> tuple[Array, Mean]:
    """Return ``exp(-rate t)`` as functions ``(..., Q)`` of the time of the target's draw, and their mean.

    The mean is that of products of at most `children` of these functions.

    Examples
    --------
    >>> functions, mean = decays(np.array([0.0, 1.0]), 3)
    >>> mean(functions).round(12).tolist()
    [1.0, 0.75]
    """
    if rates.dtype != object:
        times, weights = time_points(children * (1 + rates.max()), 45 / children)
        density = children * weights * np.exp(-children * times)
        return np.exp(-rates[..., None] * times), lambda values: np.asarray(values @ density)

    def exactly(value: Exponentials) -> Any:
        return sum(c * children / (rate + children) for rate, c in value.terms.items())

    functions = entrywise(lambda rate: Exponentials({rate: rate * 0 + 1}), rates)[..., None]
    return functions, lambda values: entrywise(exactly, values[..., 0])


def first_match(
    target: Array, matched: Array, elsewhere: Array, children: int, mean: Mean
) -> tuple[Array, Array]:
    """Return ``node`` of a rule that descends into the first child which is the target's draw.

    target: rows ``(..., V)``.
    matched, elsewhere: probability that a child is the token that the target draws, as functions of the
        time, ``(..., V, Q)``: for the child whose noise decided, and for any other.
    mean: what takes the means of such functions.
    """
    powers: list[Any] = [1]
    for _ in range(children - 1):
        powers.append(powers[-1] * (1 - elsewhere))
    # The mean that k others are not y, and one that is y: the deciding one, or any other.
    decided = [mean(power * matched) for power in powers]
    any_other = [mean(power * elsewhere) for power in powers]
    taken = []
    for k in range(children):
        # The deciding child is this one, one of those after it, or one of the k before it, which is not y:
        # matched x elsewhere is matched - matched x (1 - elsewhere).
        chance = decided[k] + (children - 1 - k) * any_other[k]
        if k:
            chance = chance + k * (any_other[k - 1] - (decided[k - 1] - decided[k]))
        taken.append(target * chance / children)
    return np.stack(taken, axis=-2), target * mean(powers[-1] * (1 - matched))
