"""Arithmetic on arrays of any numbers: float64, or dtype object with `Fraction` or `flint.fmpq`.

Step laws are written with these helpers, so that one text serves floats and exact numbers: nothing here
divides by zero, or puts a float or a Python integer into an array of rationals.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array


def one_of(like: Array) -> Any:
    """Return the number one of the kind that `like` holds."""
    return like.flat[0] * 0 + 1 if like.size else like.dtype.type(1)


def zeros(shape: tuple[int, ...], like: Array) -> Array:
    """Return an array of zeros of the kind that `like` holds."""
    return np.zeros(shape) if like.dtype != object else np.full(shape, one_of(like) * 0, dtype=object)


def ones(shape: tuple[int, ...], like: Array) -> Array:
    """Return an array of ones of the kind that `like` holds."""
    return np.ones(shape) if like.dtype != object else np.full(shape, one_of(like), dtype=object)


def capped(numerator: Array, denominator: Array) -> Array:
    """Return min(1, numerator / denominator) entrywise for numbers of at least 0; 1 where both are 0.

    Examples
    --------
    >>> capped(np.array([0.25, 0.5, 0.0]), np.array([0.5, 0.25, 0.0])).tolist()
    [0.5, 1.0, 1.0]
    """
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    out = ones(numerator.shape, denominator)
    np.divide(numerator, denominator, out=out, where=denominator > numerator)
    return out


def positive(values: Array) -> Array:
    """Return the positive part, entrywise."""
    return np.maximum(values, values.flat[0] * 0) if values.size else values


def divided(numerator: Array, denominator: Array) -> Array:
    """Return numerator / denominator entrywise, 0 where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    out = zeros(numerator.shape, denominator)
    np.divide(numerator, denominator, out=out, where=denominator != 0)
    return out


def normalise(weights: Array, fallback: Array) -> Array:
    """Divide the last axis by its sum; where the sum is 0, take `fallback` instead.

    Examples
    --------
    >>> normalise(np.array([[1.0, 3.0], [0.0, 0.0]]), np.array([0.5, 0.5])).tolist()
    [[0.25, 0.75], [0.5, 0.5]]
    """
    total = weights.sum(axis=-1, keepdims=True)
    return np.where(total != 0, divided(weights, total), fallback)


def at_token(values: Array, tokens: NDArray[np.integer]) -> Array:
    """Return the entries ``(..., m)`` of values ``(..., V)`` at tokens ``(..., m)``."""
    shape = np.broadcast_shapes(values.shape[:-1], tokens.shape[:-1])
    values = np.broadcast_to(values, (*shape, values.shape[-1]))
    return np.take_along_axis(values, np.broadcast_to(tokens, (*shape, tokens.shape[-1])), axis=-1)


def without_tokens(values: Array, tokens: NDArray[np.integer]) -> Array:
    """Return values ``(..., V)`` with zeros at the tokens ``(..., m)``."""
    shape = np.broadcast_shapes(values.shape[:-1], tokens.shape[:-1])
    left = np.array(np.broadcast_to(values, (*shape, values.shape[-1])))
    tokens = np.broadcast_to(tokens, (*shape, tokens.shape[-1]))
    np.put_along_axis(left, tokens, one_of(values) * 0, axis=-1)
    return left


def scatter(index: NDArray[np.integer], values: Array, size: int) -> Array:
    """Add values up by index, ``(size,)``."""
    if values.dtype != object:
        return np.bincount(index, weights=values, minlength=size)
    found = zeros((size,), values)
    np.add.at(found, index, values)
    return found


def rational(values: Array) -> Array:
    """Return `Fraction` objects for exact numbers (`fmpq`, Fraction or int), and floats as they are."""
    if values.dtype != object:
        return values
    found = np.empty(values.size, dtype=object)
    found[:] = [as_fraction(value) for value in values.ravel()]
    return found.reshape(values.shape)


def as_fraction(value: Any) -> Fraction:
    """Return an exact number as a `Fraction`."""
    if isinstance(value, int | Fraction):
        return Fraction(value)
    return Fraction(int(value.p), int(value.q))


def entrywise(function: Callable[[Any], Any], values: Array) -> Array:
    """Return an object array of `function` of each entry."""
    found = np.empty(values.size, dtype=object)
    found[:] = [function(value) for value in values.ravel().tolist()]
    return found.reshape(values.shape)


def from_floats(values: Array, like: Array) -> Array:
    """Return floats in the kind of numbers that `like` holds, each as the number that it is."""
    if like.dtype != object:
        return values
    one = one_of(like)

    def exact(value: float) -> Any:
        numerator, denominator = value.as_integer_ratio()
        return one * numerator / denominator

    return entrywise(exact, values)
