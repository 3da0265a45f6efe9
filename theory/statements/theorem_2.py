"""Theorem 2 of 2411.00841: the fewest rejections of any unbiased member of the rejection-based family."""

from fractions import Fraction
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from specsim.theory.arithmetic.integer_chains import IntegerChain
from specsim.theory.arithmetic.pair_tables import Pair, tables_of
from specsim.theory.laws.target import rows_of, target_context_laws


@overload
def optimal_rejections(pair: Pair, *, horizon: int | None = None, exact: Literal[False] = False) -> float: ...
@overload
def optimal_rejections(pair: Pair, *, horizon: int | None = None, exact: Literal[True]) -> Fraction: ...
@overload
def optimal_rejections(pair: Pair, *, horizon: int | None = None, exact: bool) -> float | Fraction: ...
def optimal_rejections(pair: Pair, *, horizon: int | None = None, exact: bool = False) -> float | Fraction:
    """Return sum_n E_target[ 1 - sum_x min(D_n, T_n)(x) ], the bound of Theorem 2.

    By Corollary 1 an unbiased member accepts with a <= min(1, T / D), so it keeps at most the overlap
    sum_x min(D, T) of a position. The bound holds inside the family of Algorithm 2 only: block verification
    rejects less.

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
    2411.00841, Theorem 2 (Theorem 8 of its Appendix C). `lower_bound` returns it with a certificate.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> round(theory.optimal_rejections(paper_pair(50)), 4)
    16.4049
    """
    tables = tables_of(pair)
    horizon = tables.check_horizon(horizon)
    if exact:

        def rows(first: int, last: int) -> tuple[NDArray[Any], NDArray[Any]]:
            target, draft = tables.integer_rows(first, last)
            return target, tables.unit - np.minimum(target, draft).sum(axis=-1)

        return IntegerChain(tables, horizon, rows).total()
    total = 0.0
    for step, law in enumerate(target_context_laws(tables, horizon, False)):
        overlap = np.minimum(*rows_of(tables, step, False)).sum(axis=1)
        total += law @ (1 - overlap)
    return float(total)
