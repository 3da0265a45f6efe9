"""Theorem 1 of 2411.00841: speculative decoding rejects as often as the rows differ."""

from fractions import Fraction
from typing import Literal, overload

import numpy as np

from specsim.support.arrays import Array
from specsim.theory.arithmetic.integer_chains import IntegerChain
from specsim.theory.arithmetic.pair_tables import Pair, PairTables, tables_of
from specsim.theory.laws.target import rows_of, target_context_laws


@overload
def theorem_1_rejections(
    pair: Pair | PairTables, *, horizon: int | None = None, exact: Literal[False] = False
) -> float: ...
@overload
def theorem_1_rejections(
    pair: Pair | PairTables, *, horizon: int | None = None, exact: Literal[True]
) -> Fraction: ...
@overload
def theorem_1_rejections(
    pair: Pair | PairTables, *, horizon: int | None = None, exact: bool
) -> float | Fraction: ...
def theorem_1_rejections(
    pair: Pair | PairTables, *, horizon: int | None = None, exact: bool = False
) -> float | Fraction:
    """Return sum_n E_{x_<n ~ target}[ TV(D_n, T_n)(x_<n) ], which Theorem 1 equates with E[N_rej].

    Parameters
    ----------
    pair
        The draft and the target.
    horizon
        Tokens to emit. Defaults to None, the pair's own.
    exact
        Whether to return a Fraction. Defaults to False, a float.

    Raises
    ------
    TooLargeError
        The exact numbers would not fit in memory, or not be ready in reasonable time.

    Notes
    -----
    2411.00841, Theorem 1 (1); proofs as Theorems 6 and 7 in its Appendix B. The draft length and the bonus
    do not enter: without bonus the value holds for every draft length.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> round(theory.theorem_1_rejections(paper_pair(50)), 4)
    16.4049
    """
    if exact:
        return _chain(pair, horizon).total()
    return sum(theorem_1_rejections_by_step(pair, horizon=horizon).tolist())


def theorem_1_rejections_by_step(
    pair: Pair | PairTables, *, horizon: int | None = None, exact: bool = False
) -> Array:
    """Return E_target[TV_n] for n = 1..horizon, the terms of `theorem_1_rejections`, ``(horizon,)``.

    Parameters and errors are those of `theorem_1_rejections`.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> theory.theorem_1_rejections_by_step(paper_pair(3)).round(4)
    array([0.3655, 0.4101, 0.2892])
    """
    if exact:
        return np.array(_chain(pair, horizon).by_step(), dtype=object)
    pair = tables_of(pair)
    horizon = pair.check_horizon(horizon)
    laws = target_context_laws(pair, horizon, False)
    return np.array([law @ total_variation(*rows_of(pair, step, False)) for step, law in enumerate(laws)])


def _chain(pair: Pair | PairTables, horizon: int | None) -> IntegerChain:
    tables = tables_of(pair)

    def rows(first: int, last: int) -> tuple[Array, Array]:
        target, draft = tables.integer_rows(first, last)
        # Both rows have one sum, so the L1 distance is even.
        return target, np.abs(target - draft).sum(axis=-1) // 2

    return IntegerChain(tables, tables.check_horizon(horizon), rows)


def total_variation(target: Array, draft: Array) -> Array:
    """Return half the L1 distance of each pair of rows, ``(contexts,)``."""
    return np.abs(target - draft).sum(axis=-1) / 2
