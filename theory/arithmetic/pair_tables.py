"""The exact tables of a pair, whichever type it has: integer weights over one unit, and their floats."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from specsim.errors import InputError
from specsim.grammar import parse_pair
from specsim.pairs import UNIT, ModelPair
from specsim.support.arrays import Array
from specsim.support.checks import whole
from specsim.theory.arithmetic.rational_pair import RationalPair

#: What the functions of `specsim.theory` take as a pair.
Pair = ModelPair | RationalPair | str


class PairTables:
    """Weights of a pair as integers over ``unit``; a `RationalPair` has the least common unit of its entries.

    horizon, steps, contexts, tokens, stationary, is_markov, next_context: as in `specsim.pairs.ModelPair`.
    unit: every weight divided by it is the exact probability.
    """

    def __init__(self, pair: Pair) -> None:
        if isinstance(pair, str):
            pair = parse_pair(pair)
        if not isinstance(pair, ModelPair | RationalPair):
            raise InputError(
                f"pair is a {type(pair).__name__}; give a ModelPair or a RationalPair, or a text such as "
                "'paper:50'"
            )
        self.pair = pair
        self.horizon = pair.horizon
        self.contexts = pair.contexts
        self.tokens = pair.tokens
        self.steps = pair.steps if isinstance(pair, ModelPair) else len(pair.target)
        self.stationary = self.steps == 1
        self.next_context: NDArray[np.int64] = np.asarray(pair.next_context, dtype=np.int64)
        self.is_markov = self.contexts == self.tokens and bool(
            (self.next_context == np.arange(self.tokens)).all()
        )

    @cached_property
    def unit(self) -> int:
        """2^32 for a `ModelPair`, otherwise the least common denominator."""
        if isinstance(self.pair, ModelPair):
            return UNIT
        rows = [row for table in (*self.pair.target, *self.pair.draft) for row in table]
        return math.lcm(*(value.denominator for row in (*rows, self.pair.initial) for value in row))

    @cached_property
    def target_weights(self) -> Array:
        """Integers of shape ``(steps, contexts, tokens)``."""
        return self._weights("target")

    @cached_property
    def draft_weights(self) -> Array:
        """Integers of shape ``(steps, contexts, tokens)``."""
        return self._weights("draft")

    @cached_property
    def initial_weights(self) -> Array:
        """Integers of shape ``(contexts,)``."""
        return self._weights("initial")

    @cached_property
    def target(self) -> NDArray[np.float64]:
        """Floats of shape ``(steps, contexts, tokens)``."""
        return np.asarray(self.pair.target, dtype=np.float64)

    @cached_property
    def draft(self) -> NDArray[np.float64]:
        """Floats of shape ``(steps, contexts, tokens)``."""
        return np.asarray(self.pair.draft, dtype=np.float64)

    @cached_property
    def initial(self) -> NDArray[np.float64]:
        """Floats of shape ``(contexts,)``."""
        return np.asarray(self.pair.initial, dtype=np.float64)

    def step_index(self, step: int) -> int:
        """Index into the first axis of the tables for the token emitted at `step` (counted from 0)."""
        return 0 if self.stationary else step

    def check_horizon(self, horizon: int | None) -> int:
        """Return the horizon to use, the pair's own for None; see `ModelPair.check_horizon`."""
        if isinstance(self.pair, ModelPair):
            return self.pair.check_horizon(horizon)
        if horizon is None:
            return self.horizon
        horizon = whole("horizon", horizon, 1)
        if not self.stationary and horizon > self.steps:
            raise InputError(
                f"horizon is {horizon} but the pair has rows for {self.steps} steps; give at most that"
            )
        return horizon

    def integer_rows(self, first: int, last: int) -> tuple[Array, Array]:
        """Return target and draft weights of the tables first..last - 1, fit for subtraction.

        int64 for a `ModelPair`, Python integers for a `RationalPair`; ``(tables, contexts, tokens)``.
        """
        target, draft = self.target_weights[first:last], self.draft_weights[first:last]
        if target.dtype == np.uint64:
            return target.view(np.int64), draft.view(np.int64)
        return target, draft

    def fractions(self, weights: Array) -> Array:
        """Return weights of this pair as Fractions, dtype object."""
        numbers = [Fraction(weight, self.unit) for weight in weights.ravel().tolist()]
        return np.array(numbers, dtype=object).reshape(weights.shape)

    def _weights(self, name: str) -> Array:
        if isinstance(self.pair, ModelPair):
            return np.asarray(getattr(self.pair, f"{name}_weights"))
        values = np.array(getattr(self.pair, name), dtype=object)
        numbers = [value.numerator * (self.unit // value.denominator) for value in values.ravel()]
        return np.array(numbers, dtype=object).reshape(values.shape)


def tables_of(pair: Pair | PairTables) -> PairTables:
    """Return the tables of `pair`, or `pair` itself when it already is one."""
    return pair if isinstance(pair, PairTables) else PairTables(pair)
