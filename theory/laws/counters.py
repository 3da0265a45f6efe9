"""What a recursion counts along the way, carried as one more axis of the mass."""

from typing import Protocol

import numpy as np

from specsim.support.arrays import Array


class Counter(Protocol):
    """A count carried by the mass, ``(width, states)``, and what more events do to it."""

    width: int

    def shift(self, mass: Array, by: int = 1) -> Array:
        """Return the rows after `by` more events."""


class NoCount:
    """Carry the mass alone."""

    width = 1

    def shift(self, mass: Array, by: int = 1) -> Array:
        """Return the rows unchanged."""
        return mass


class FullCount:
    """Carry the whole law of the count, 0 to `largest`."""

    def __init__(self, largest: int) -> None:
        self.width = largest + 1

    def shift(self, mass: Array, by: int = 1) -> Array:
        """Move every row `by` counts up."""
        shifted = np.zeros_like(mass)
        shifted[..., by:, :] = mass[..., : self.width - by, :]
        return shifted


class Moments:
    """Carry the mass and its first two moments of the count."""

    width = 3

    def shift(self, mass: Array, by: int = 1) -> Array:
        """E[N+1] = E[N] + 1 and E[(N+1)^2] = E[N^2] + 2 E[N] + 1, times the mass."""
        zeroth, first, second = mass[..., 0, :], mass[..., 1, :], mass[..., 2, :]
        return np.stack([zeroth, first + zeroth, second + 2 * first + zeroth], axis=-2)
