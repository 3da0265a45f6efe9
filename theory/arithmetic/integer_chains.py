"""Exact expected costs of Markov chains over contexts, in integers.

Laws such as E[N_rej] of Algorithm 1 or the sum of Theorem 1 (2411.00841) all have the form
sum_n E[cost_n(context before step n)], where the context moves by kernels whose entries are whole multiples
of 1 / unit. Statements differ in the kernels and costs that they pass; this module only adds and multiplies.

Three ways give identical integers: Python integers one product at a time, integer matrices of FLINT
(stationary pairs), and `limbs`. The quickest is chosen by a model of their measured costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from fractions import Fraction
from functools import cached_property
from operator import mul

import numpy as np
from numpy.typing import NDArray

from specsim.errors import TooLargeError
from specsim.support.arrays import Array
from specsim.theory.arithmetic.exact_products import (
    Digits,
    Halves,
    Layout,
    one_blas_thread,
)
from specsim.theory.arithmetic.pair_tables import PairTables

#: Given the first and the last plus one of some tables of rows, the kernels ``(tables, contexts, tokens)``
#: whose rows sum to ``unit``, and the costs ``(tables, contexts)`` from 0 to ``unit``. Integers.
Rows = Callable[[int, int], tuple[Array, Array]]

_MAX_BYTES = 2**31
#: Products of entries with limbs (``"limbs"``) or with bits; each is a few minutes.
_MAX_WORK = {"plain": 2e12, "flint": 1e13, "limbs": 4e12}
#: Entries of the tables that are read at once.
_CHUNK = 2**18
#: Time of a sparse entry in dense ones; matrices of other pairs are built anew at every step.
_SPARSE_STATIONARY = 6
_SPARSE = 10


class IntegerChain:
    """A chain over the contexts of a pair, with integer kernels and costs.

    pair: gives the initial law, the next contexts, and the unit.
    horizon: number of steps.
    rows: kernels and costs by table (one table for a stationary pair).
    method: ``"plain"``, ``"flint"`` (stationary pairs only) or ``"limbs"``. Defaults to None, the quickest.
    sparse: whether limbs use sparse matrices. Defaults to None, whichever is quicker.
    TooLargeError: the numbers would not fit in memory, or not be ready in reasonable time.
    """

    def __init__(
        self,
        pair: PairTables,
        horizon: int,
        rows: Rows,
        *,
        method: str | None = None,
        sparse: bool | None = None,
    ) -> None:
        self.pair = pair
        self.horizon = horizon
        self.unit = pair.unit
        self._rows = rows
        self._layout = Layout.of(self.unit, pair.contexts + 1)
        self._sparse = self._sparse_is_quicker() if sparse is None else sparse
        self.method = method or self._quickest()
        self._refuse_absurd()

    def total(self) -> Fraction:
        """Return the expected total cost.

        The law of the context before step h = horizon // 2 is carried forward, the cost of the steps from h
        on is carried backward, and the two meet, which halves the number of digits on the way.
        """
        # Horner's scheme: before step n the sum so far is over unit^(n + 1).
        spent, unit = 0, self.unit
        if self.method != "limbs":
            for cost in self._costs():
                spent = spent * unit + cost
            return Fraction(spent, unit ** (self.horizon + 1))
        with one_blas_thread():
            return self._total_by_limbs()

    def _total_by_limbs(self) -> Fraction:
        assert self._layout is not None
        # Horner's scheme, as in `total`.
        spent, unit = 0, self.unit
        middle = self.horizon // 2
        digits = self._start()
        for n, halves in self._halves(range(middle)):
            digits, cost = self._forward(n, digits, halves)
            spent = spent * unit + cost
        ahead = np.zeros((1, self.pair.contexts), dtype=np.int64)
        for n, halves in self._halves(range(self.horizon - 1, middle - 1, -1)):
            ahead = self._backward(n, ahead, halves)
        rest = self.horizon - middle
        meeting = sum(map(mul, self._layout.integers(digits), self._layout.integers(ahead)))
        return Fraction(spent * unit**rest + meeting, unit ** (self.horizon + 1))

    def by_step(self) -> list[Fraction]:
        """Return the expected cost of every step."""
        with one_blas_thread() if self.method == "limbs" else nullcontext():
            return [Fraction(cost, self.unit ** (n + 2)) for n, cost in enumerate(self._costs())]

    def _costs(self) -> Iterator[int]:
        """Yield the cost of step n over unit^(n + 2)."""
        return {"plain": self._plain, "flint": self._flint, "limbs": self._limbs}[self.method]()

    def _plain(self) -> Iterator[int]:
        pair = self.pair
        mass = [int(weight) for weight in pair.initial_weights]
        after = pair.next_context.tolist()
        for _, kernel, cost in self._tables(range(self.horizon)):
            yield sum(map(mul, mass, cost.tolist()))
            if pair.is_markov:
                mass = [sum(map(mul, mass, column)) for column in kernel.T.tolist()]
                continue
            moved = [0] * pair.contexts
            for here, row, there in zip(mass, kernel.tolist(), after, strict=True):
                if here:
                    for weight, context in zip(row, there, strict=True):
                        moved[context] += here * weight
            mass = moved

    def _flint(self) -> Iterator[int]:
        from flint import fmpz_mat

        contexts = self.pair.contexts
        kernel, cost = (table[0] for table in self._rows(0, 1))
        square = kernel if self.pair.is_markov else _square(self.pair, kernel)
        # Contiguous Python integers; FLINT takes neither NumPy integers nor arrays.
        matrix = fmpz_mat(contexts, contexts + 1, np.column_stack([square, cost]).ravel().tolist())
        mass = fmpz_mat(1, contexts, [int(weight) for weight in self.pair.initial_weights])
        for _ in range(self.horizon):
            *law, spent = (mass * matrix).entries()
            yield int(spent)
            mass = fmpz_mat(1, contexts, law)

    def _limbs(self) -> Iterator[int]:
        digits = self._start()
        for n, halves in self._halves(range(self.horizon)):
            digits, cost = self._forward(n, digits, halves)
            yield cost

    def _start(self) -> Digits:
        assert self._layout is not None
        weights = [int(weight) for weight in self.pair.initial_weights]
        return self._layout.digits(weights, self._layout.limbs(self.unit))

    def _forward(self, n: int, law: Digits, halves: Halves) -> tuple[Digits, int]:
        """From the law before step n, over unit^(n + 1), the law after it and the cost, over unit^(n + 2)."""
        assert self._layout is not None
        limbs = self._layout.limbs(self.unit ** (n + 2))
        digits = self._layout.join(*halves.rows_times(law), limbs)
        return digits[:, :-1], self._layout.integers(digits[:, -1:])[0]

    def _backward(self, n: int, ahead: Digits, halves: Halves) -> Digits:
        """From the cost after step n by context, over unit^(steps left), the cost from step n on.

        The last column of the matrix is the cost of the step; it meets the number one.
        """
        assert self._layout is not None
        left = self.horizon - 1 - n
        one = self.unit**left
        limbs = self._layout.limbs((left + 1) * one)
        digits = np.zeros((limbs, self.pair.contexts + 1), dtype=np.int64)
        digits[: len(ahead), :-1] = ahead
        digits[:, -1:] = self._layout.digits([one], limbs)
        return self._layout.join(
            *halves.times_columns(digits), self._layout.limbs((left + 1) * one * self.unit)
        )

    def _halves(self, steps: range) -> Iterator[tuple[int, Halves]]:
        if self.pair.stationary:
            for n in steps:
                yield n, self._one_halves
            return
        moves = _Moves(self.pair) if self._sparse else None
        for n, kernel, cost in self._tables(steps):
            yield n, self._split(kernel.astype(np.int64, copy=False), cost.astype(np.int64), moves)

    @cached_property
    def _one_halves(self) -> Halves:
        """The only matrix of a stationary pair."""
        kernel, cost = (table[0] for table in self._rows(0, 1))
        moves = _Moves(self.pair) if self._sparse else None
        return self._split(kernel.astype(np.int64, copy=False), cost.astype(np.int64), moves)

    def _split(self, kernel: Array, cost: Array, moves: _Moves | None) -> Halves:
        assert self._layout is not None
        bits, contexts = self._layout.low_bits, self.pair.contexts
        if moves is None:
            square = kernel if self.pair.is_markov else _square(self.pair, kernel)
            return Halves.dense((square, cost[:, None]), bits)
        weights = np.concatenate([moves.weights(kernel), cost])
        rows = np.concatenate([moves.rows, np.arange(contexts)])
        columns = np.concatenate([moves.columns, np.full(contexts, contexts)])
        return Halves.sparse(weights, (rows, columns), (contexts, contexts + 1), bits)

    def _tables(self, steps: range) -> Iterator[tuple[int, Array, Array]]:
        """Yield step, kernel and cost; several tables are read at once, which is quicker for small ones."""
        pair = self.pair
        if pair.stationary:
            kernels, costs = self._rows(0, 1)
            for n in steps:
                yield n, kernels[0], costs[0]
            return
        chunk = max(1, _CHUNK // (pair.contexts * pair.tokens))
        for i in range(0, len(steps), chunk):
            part = steps[i : i + chunk]
            first = min(part[0], part[-1])
            kernels, costs = self._rows(first, max(part[0], part[-1]) + 1)
            for n in part:
                yield n, kernels[n - first], costs[n - first]

    def _moves(self) -> int:
        """Return an upper bound on the number of pairs of a context and one that may follow it."""
        return self.pair.contexts * min(self.pair.contexts, self.pair.tokens)

    def _sparse_is_quicker(self) -> bool:
        per_entry = _SPARSE_STATIONARY if self.pair.stationary else _SPARSE
        return per_entry * self._moves() < self.pair.contexts**2

    def _quickest(self) -> str:
        """Return the method with the least estimated time; figures are measured CPU nanoseconds."""
        pair = self.pair
        contexts, square, products = pair.contexts, pair.contexts**2, pair.contexts * pair.tokens
        bits = self.unit.bit_length() * self.horizon / 2
        each = 300 if pair.is_markov else 1600
        times = {"plain": 4000 + contexts * each + products * (85 + 0.04 * bits)}
        if pair.stationary:
            # Loading FLINT must pay.
            times["flint"] = 3000 + 200 * contexts + square * (12 + 0.01 * bits) + 1e6 / self.horizon
        if self._layout is not None:
            size = _SPARSE_STATIONARY * self._moves() if self._sparse else square
            times["limbs"] = 35000 + 20 * bits + 400 * contexts + size * (0.3 + 0.0024 * bits)
        return min(times, key=lambda method: times[method])

    def _refuse_absurd(self) -> None:
        pair, bits = self.pair, self.unit.bit_length() * self.horizon
        limb_bits = self._layout.digit_bits if self.method == "limbs" and self._layout else 1
        limbs = bits // limb_bits + 1
        sparse = self._sparse and self.method == "limbs"
        entries = 3 * self._moves() if sparse else pair.contexts**2
        products = pair.contexts * pair.tokens if self.method == "plain" else entries
        needed = 32 * pair.contexts * pair.tokens
        if self.method == "limbs":
            needed += 24 * entries + 64 * limbs * pair.contexts
        elif self.method == "flint":
            needed += 24 * entries
        if needed > _MAX_BYTES or products * self.horizon * limbs > _MAX_WORK[self.method]:
            raise TooLargeError(
                f"horizon is {self.horizon} with {pair.contexts} contexts, {pair.tokens} tokens: exact "
                f"numbers would reach {bits} bits, and tables {needed >> 20} MiB; use exact=False or a "
                "smaller problem"
            )


def _square(pair: PairTables, kernel: Array) -> Array:
    """Return the weights of moves between contexts, ``(contexts, contexts)``, from ``(contexts, tokens)``.

    Float sums are exact: weights are non-negative and those of a context add up to the unit. Units above 2^53
    come as Python integers.
    """
    contexts = pair.contexts
    if pair.unit > 2**53:
        square = np.full((contexts, contexts), 0, dtype=object)
        np.add.at(square, (np.arange(contexts)[:, None], pair.next_context), kernel)
        return square
    keys = np.arange(contexts)[:, None] * contexts + pair.next_context
    weights = kernel.astype(np.float64).ravel()
    sums = np.bincount(keys.ravel(), weights=weights, minlength=contexts**2)
    return sums.astype(np.int64).reshape(contexts, contexts)


class _Moves:
    """The moves between contexts that some token makes."""

    def __init__(self, pair: PairTables) -> None:
        keys = np.arange(pair.contexts)[:, None] * pair.contexts + pair.next_context
        unique, inverse = np.unique(keys.ravel(), return_inverse=True)
        self._inverse = inverse.ravel()
        self.rows, self.columns = unique // pair.contexts, unique % pair.contexts

    def weights(self, kernel: Array) -> NDArray[np.int64]:
        """Return the weight of every move; float sums are exact as in `_square`."""
        sums = np.bincount(self._inverse, weights=kernel.astype(np.float64).ravel())
        return sums.astype(np.int64)
