"""Theorem 1 of 2411.00841: speculative decoding rejects as often as the rows differ."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.theory.pair_tables import Pair, PairTables, tables_of
from specsim.theory.target import rows_of, target_context_laws

Array = NDArray[Any]


def theorem_1_rejections(pair: Pair | PairTables, *, horizon: int | None = None, exact: bool = False) -> Any:
    """Return sum_n E_{x_<n ~ target}[ TV(D_n, T_n)(x_<n) ], which Theorem 1 equates with E[N_rej].

    Parameters
    ----------
    pair
        The draft and the target.
    horizon
        Tokens to emit. Defaults to None, the pair's own.
    exact
        Whether to return a Fraction. Defaults to False.

    Returns
    -------
    float or Fraction

    Notes
    -----
    2411.00841, Theorem 1 (1); proofs as Theorems 6 and 7 in its Appendix B. The draft length and the bonus
    do not enter: without bonus the value holds for every draft length.
    """
    return sum(theorem_1_rejections_by_step(pair, horizon=horizon, exact=exact).tolist())


def theorem_1_rejections_by_step(
    pair: Pair | PairTables, *, horizon: int | None = None, exact: bool = False
) -> Array:
    """Return E_target[TV_n] for n = 1..horizon, the terms of `theorem_1_rejections`, ``(horizon,)``.

    Parameters are those of `theorem_1_rejections`.
    """
    pair = tables_of(pair)
    horizon = pair.check_horizon(horizon)
    laws = target_context_laws(pair, horizon, exact)
    terms = [law @ total_variation(*rows_of(pair, step, exact)) for step, law in enumerate(laws)]
    return np.array(terms, dtype=object if exact else np.float64)


def total_variation(target: Array, draft: Array) -> Array:
    """Return half the L1 distance of each pair of rows, ``(contexts,)``."""
    return np.abs(target - draft).sum(axis=-1) / 2
