"""What a recursion over rounds adds up, and the regime of a stationary pair in the long run."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import as_fraction
from specsim.theory.arithmetic.pair_tables import PairTables


@dataclass
class Tally:
    """What one pass over all positions adds up.

    rejected: probability of a rejection at each position, ``(horizon,)``.
    calls: expected number of rounds.
    rounds: expected number of rounds by start and accepted length, ``(horizon, longest + 1)``.
    emitted: law of the token, or of context and token, at each position; empty if not asked for.
    final: by count, after the last position.
    """

    rejected: Array
    calls: Any
    rounds: Array
    emitted: Array
    final: Array

    @classmethod
    def empty(cls, pair: PairTables, horizon: int, depth: int, exact: bool, emitted: str) -> Tally:
        """Return a tally of zeros; see `NodeWalk.run` for `emitted`."""
        zero: Any = Fraction(0) if exact else 0.0
        shapes = {"": (), "tokens": (pair.tokens,), "transitions": (pair.contexts, pair.tokens)}

        def zeros(*shape: int) -> Array:
            return np.full(shape, zero, dtype=object if exact else np.float64)

        return cls(
            rejected=zeros(horizon),
            calls=zero,
            rounds=zeros(horizon, depth + 1),
            emitted=zeros(horizon if emitted else 0, *shapes[emitted]),
            final=zeros(1),
        )


@dataclass(frozen=True)
class Regime:
    """One uncut round of a stationary pair, from every context.

    initial: law of the first context, ``(contexts,)``.
    following: probability of the first context of the next round, ``(contexts, contexts)``.
    lengths: law of the accepted length, ``(contexts, depth + 1)``.
    tokens: expected number of emitted tokens, ``(contexts,)``.
    """

    initial: Array
    following: Array
    lengths: Array
    tokens: Array

    def averages(self) -> tuple[Any, Array]:
        """Return tokens per round and the law of the accepted length, both over the rounds of many long runs.

        Contexts from which one can always come back form closed classes. A run ends up in one of them, and
        has rounds in inverse proportion to the tokens per round there.
        """
        total: Any = 0
        law: Any = 0
        for reached, members, weights in self._classes():
            rate = reached / (weights @ self.tokens[members])
            total = total + rate
            law = law + rate * (weights @ self.lengths[members])
        return 1 / total, law / total

    def _classes(self) -> list[tuple[Any, Array, Array]]:
        """Return for each closed class: probability of reaching it, its contexts, its stationary law."""
        from scipy.sparse.csgraph import connected_components

        moves = self.following != 0
        count, label = connected_components(moves, connection="strong")
        found = []
        closed = [c for c in range(count) if not moves[np.ix_(label == c, label != c)].any()]
        passing = np.flatnonzero(~np.isin(label, closed))
        inside = self.following[np.ix_(passing, passing)]
        for c in closed:
            members = np.flatnonzero(label == c)
            # A stationary law is a left null vector of following - 1; one equation is replaced by its sum.
            matrix = self.following[np.ix_(members, members)].T - _eye(len(members), self.following)
            matrix[-1] = matrix[-1] * 0 + 1
            right = matrix[-1] * 0
            right[-1] = right[-1] + 1
            weights = _solve(matrix, right)
            reached = self.initial[members].sum()
            if len(passing):
                entering = self.following[np.ix_(passing, members)].sum(axis=-1)
                absorbed = _solve(_eye(len(passing), inside) - inside, entering)
                reached = reached + self.initial[passing] @ absorbed
            if reached:
                found.append((reached, members, weights))
        return found


def _eye(size: int, like: Array) -> Array:
    if like.dtype != object:
        return np.eye(size)
    return np.array([[Fraction(i == j) for j in range(size)] for i in range(size)], dtype=object)


def _solve(matrix: Array, right: Array) -> Array:
    if matrix.dtype != object:
        return np.linalg.solve(matrix, right)
    from flint import fmpq, fmpq_mat

    entries, column = ([fmpq(x.numerator, x.denominator) for x in part.ravel()] for part in (matrix, right))
    size = len(column)
    solved = fmpq_mat(size, size, entries).solve(fmpq_mat(size, 1, column))
    return np.array([as_fraction(value) for value in solved.entries()], dtype=object)
