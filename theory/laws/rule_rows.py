"""What a step law reads at each position: rows of the pair and parameters of the rule."""

from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm
from specsim.errors import InputError
from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import entrywise
from specsim.theory.arithmetic.pair_tables import PairTables


class RuleRows:
    """Rows and parameters of an algorithm on a pair: float64, or `flint.fmpq` objects when exact.

    stationary: whether all positions have the same rows and parameters.
    InputError: a table of the rule does not fit the pair.
    """

    def __init__(self, pair: PairTables, algorithm: Algorithm, horizon: int, exact: bool) -> None:
        self.pair = pair
        self.exact = exact
        self._scalars: dict[str, Any] = {}
        self._tables: dict[str, Array] = {}
        for name, entry in algorithm.rule.parameters.items():
            value = algorithm.parameters[name]
            if entry.kind == "table":
                self._tables[name] = _table(name, np.asarray(value), pair, horizon, exact)
            elif entry.kind == "number":
                self._scalars[name] = _number(value) if exact else float(value)
            else:
                self._scalars[name] = value
        self.stationary = pair.stationary and all(len(table) == 1 for table in self._tables.values())

    @property
    def has_parameters(self) -> bool:
        """Whether the rule has parameters."""
        return bool(self._scalars or self._tables)

    def index(self, step: int) -> int:
        """Return a number that positions with equal rows share."""
        return 0 if self.stationary else step

    def at(self, steps: NDArray[np.integer]) -> tuple[Array, Array, dict[str, Any]]:
        """Return target and draft rows ``(steps, contexts, tokens)``, and the parameters.

        Positions after the last row of the pair, where nothing is emitted any more, get the last row.
        """
        target, draft = (_pick(table, steps) for table in self._both)
        tables = {name: _pick(table, steps) for name, table in self._tables.items()}
        return target, draft, {**self._scalars, **tables}

    @cached_property
    def _both(self) -> tuple[Array, Array]:
        pair = self.pair
        if not self.exact:
            return pair.target, pair.draft
        return self._exact(pair.target_weights), self._exact(pair.draft_weights)

    @cached_property
    def initial(self) -> Array:
        """Law of the first context, ``(contexts,)``."""
        return self._exact(self.pair.initial_weights) if self.exact else self.pair.initial

    def _exact(self, weights: Array) -> Array:
        from flint import fmpq

        unit = self.pair.unit
        return entrywise(lambda weight: fmpq(weight, unit), weights)


def _pick(table: Array, steps: NDArray[np.integer]) -> Array:
    return table[np.minimum(steps, len(table) - 1)]


def _number(value: Any) -> Any:
    from flint import fmpq

    fraction = Fraction(value)
    return fmpq(fraction.numerator, fraction.denominator)


def _table(name: str, table: Array, pair: PairTables, horizon: int, exact: bool) -> Array:
    shape = (pair.contexts, pair.tokens)
    if table.shape[1:] != shape:
        raise InputError(f"{name} has contexts and tokens {table.shape[1:]}; this pair has {shape}")
    if 1 < len(table) < horizon:
        raise InputError(f"{name} has {len(table)} steps; give 1, or one for each of the horizon")
    return entrywise(_number, table) if exact else table.astype(np.float64)
