"""What a recursion runs on: contexts, or whole sequences with their context; and how mass moves there."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from specsim.errors import TooLargeError
from specsim.theory.arithmetic.pair_tables import PairTables

Array = NDArray[Any]


class States(Protocol):
    """The states before each step, each with a context, and the state that every token leads to."""

    def start(self, exact: bool) -> Array:
        """Mass of the states before step 0: floats, or integers over the pair's unit."""

    def rows(self, step: int, kernel: Array) -> Array:
        """Expand a kernel ``(contexts, tokens)`` to ``(states, tokens)``."""

    def move(self, step: int, mass: Array, kernel: Array) -> Array:
        """Move ``(rows, states)`` by a kernel ``(contexts, tokens)`` to the states of the next step."""


class ContextStates:
    """The states are the contexts of the pair."""

    def __init__(self, pair: PairTables) -> None:
        self._pair = pair

    def start(self, exact: bool) -> Array:
        """Law of the first context."""
        return self._pair.initial_weights.astype(object) if exact else self._pair.initial.copy()

    def rows(self, step: int, kernel: Array) -> Array:
        """Return the kernel itself."""
        return kernel

    def move(self, step: int, mass: Array, kernel: Array) -> Array:
        """Move ``(rows, contexts)`` one token on."""
        if self._pair.is_markov:
            return _rows_dot(mass, kernel)
        return _scatter(mass, kernel, self._pair.next_context, self._pair.contexts)


class PathStates:
    """The states are pairs (emitted sequence, context); a sequence alone fixes no prompt.

    Raises
    ------
    TooLargeError
        More than `limit` states.
    """

    def __init__(self, pair: PairTables, horizon: int, limit: int) -> None:
        if pair.tokens**horizon > limit:
            raise TooLargeError(
                f"horizon is {horizon} with {pair.tokens} tokens: the law of the whole sequence has "
                f"{pair.tokens}**{horizon} entries (at most {limit}); use output_marginals"
            )
        self._pair = pair
        contexts = np.flatnonzero(pair.initial_weights)
        paths = np.zeros(len(contexts), dtype=np.int64)
        self._contexts = [contexts]
        self._next: list[NDArray[np.intp]] = []
        for _ in range(horizon):
            following = pair.next_context[contexts]
            longer = paths[:, None] * pair.tokens + np.arange(pair.tokens)
            keys, index = np.unique(longer * pair.contexts + following, return_inverse=True)
            self._next.append(index.reshape(following.shape))
            paths, contexts = keys // pair.contexts, keys % pair.contexts
            self._contexts.append(contexts)
            if len(contexts) > 4 * limit:
                raise TooLargeError(
                    f"the pair has {pair.contexts} contexts: too many pairs of sequence and context; "
                    "use output_marginals"
                )
        #: The sequence of each state after the last step.
        self.paths = paths

    def start(self, exact: bool) -> Array:
        """Law of the first context, the empty sequence."""
        weights = self._pair.initial_weights[self._contexts[0]]
        return weights.astype(object) if exact else self._pair.initial[self._contexts[0]]

    def rows(self, step: int, kernel: Array) -> Array:
        """Give every sequence the row of its context."""
        return kernel[self._contexts[step]]

    def move(self, step: int, mass: Array, kernel: Array) -> Array:
        """Move ``(rows, states)`` one token on."""
        size = len(self._contexts[step + 1])
        return _scatter(mass, self.rows(step, kernel), self._next[step], size)


def _rows_dot(mass: Array, kernel: Array) -> Array:
    if mass.dtype != object:
        return mass @ kernel
    moved = np.full((len(mass), kernel.shape[1]), 0, dtype=object)
    columns = np.flatnonzero((mass != 0).any(axis=0))
    rows = np.flatnonzero((mass != 0).any(axis=1))
    if len(rows) and len(columns):
        moved[rows] = np.dot(mass[np.ix_(rows, columns)], kernel[columns])
    return moved


def _scatter(mass: Array, kernel: Array, following: NDArray[np.integer], size: int) -> Array:
    columns = np.flatnonzero((mass != 0).any(axis=0))
    moved = np.zeros((len(mass), size), dtype=mass.dtype)
    target = following[columns].ravel()
    for row in np.flatnonzero((mass != 0).any(axis=1)):
        joint = (mass[row, columns, None] * kernel[columns]).ravel()
        if mass.dtype == object:
            np.add.at(moved[row], target, joint)
        else:
            moved[row] = np.bincount(target, weights=joint, minlength=size)
    return moved
