"""What a recursion runs on: contexts, or whole sequences with their context; and how mass moves there."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from specsim.errors import TooLargeError
from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import scatter
from specsim.theory.arithmetic.pair_tables import PairTables

_MOST_PATHS = {False: 2**20, True: 2**14}


class States(Protocol):
    """The states before each step and how mass moves to the next."""

    def size(self, step: int) -> int:
        """Return the number of states before a step."""

    def start(self, law: Array) -> Array:
        """Mass of the states before step 0, from the law of the first context."""

    def move(self, step: int, mass: Array, kernel: Array) -> Array:
        """Move ``(rows, states)`` by a kernel ``(contexts, tokens)`` to the states of the next step."""


class ContextStates:
    """The states are the contexts of the pair."""

    def __init__(self, pair: PairTables) -> None:
        self._pair = pair

    def size(self, step: int) -> int:
        """Return the number of contexts."""
        return self._pair.contexts

    def start(self, law: Array) -> Array:
        """Law of the first context."""
        return law

    def move(self, step: int, mass: Array, kernel: Array) -> Array:
        """Move ``(rows, contexts)`` one token on."""
        if self._pair.is_markov:
            return _rows_dot(mass, kernel)
        return _scatter(mass, kernel, self._pair.next_context, self._pair.contexts)


class PathStates:
    """The states are pairs (first context, emitted sequence), which fix the context.

    contexts: entry n, ``(first contexts * tokens ** n,)``: the context of each state before step n.
    TooLargeError: there are too many states.
    """

    def __init__(self, pair: PairTables, horizon: int, exact: bool) -> None:
        limit = _MOST_PATHS[exact]
        self._first = np.flatnonzero(pair.initial_weights)
        if pair.tokens**horizon > limit or len(self._first) * pair.tokens**horizon > 16 * limit:
            raise TooLargeError(
                f"horizon is {horizon} with {pair.tokens} tokens: the law of the whole sequence has "
                f"{pair.tokens}**{horizon} entries (at most {limit}) for each of {len(self._first)} prompts; "
                "use output_marginals"
            )
        self.contexts = [self._first]
        for _ in range(horizon):
            self.contexts.append(pair.next_context[self.contexts[-1]].ravel())

    def size(self, step: int) -> int:
        """Return the number of states before a step."""
        return len(self.contexts[step])

    def start(self, law: Array) -> Array:
        """Law of the first context, the empty sequence."""
        return law[self._first]

    def move(self, step: int, mass: Array, kernel: Array) -> Array:
        """Move ``(rows, states)`` one token on."""
        return (mass[..., None] * kernel[self.contexts[step]]).reshape(len(mass), self.size(step + 1))

    def sequences(self, mass: Array) -> Array:
        """Add mass ``(states,)`` over the first contexts."""
        return mass.reshape(len(self._first), -1).sum(axis=0)


def land(pair: PairTables, joint: Array) -> Array:
    """Mass ``(..., contexts)`` after emitting a token, from mass ``(..., contexts, tokens)``."""
    if pair.is_markov:
        return joint.sum(axis=-2)
    flat = joint.reshape(-1, pair.contexts * pair.tokens)
    index = np.arange(len(flat))[:, None] * pair.contexts + pair.next_context.ravel()
    return scatter(index.ravel(), flat.ravel(), len(flat) * pair.contexts).reshape(*joint.shape[:-1])


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
    if mass.dtype != object:
        from scipy.sparse import csr_array

        # A row of the matrix is a context, whose tokens lead to the columns `following`, some of them equal.
        ends = np.arange(0, kernel.size + 1, kernel.shape[1])
        moves = csr_array((kernel.ravel(), following.ravel(), ends), shape=(len(kernel), size))
        return np.asarray(mass @ moves)
    columns = np.flatnonzero((mass != 0).any(axis=0))
    moved = np.zeros((len(mass), size), dtype=mass.dtype)
    target = following[columns].ravel()
    for row in np.flatnonzero((mass != 0).any(axis=1)):
        np.add.at(moved[row], target, (mass[row, columns, None] * kernel[columns]).ravel())
    return moved
