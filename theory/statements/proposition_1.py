"""Proposition 1 of 2411.00841: the batch algorithm with ever more drafts."""

from fractions import Fraction
from functools import partial
from typing import Any, Literal, overload

import numpy as np

from specsim.support.arrays import Array
from specsim.theory.arithmetic.pair_tables import Pair, PairTables, tables_of
from specsim.theory.laws.target import emit, initial_law, rows_of, target_context_laws
from specsim.theory.statements.theorem_1 import theorem_1_rejections_by_step, total_variation
from specsim.theory.statements.theorem_3 import masses_over_prefixes


def support_condition(pair: Pair | PairTables, *, horizon: int | None = None) -> bool:
    """Return whether the target's support is a subset of the draft's, in every context the target reaches.

    The condition under which items (2) and (3) of Proposition 1 hold as printed.

    Parameters
    ----------
    pair
        The draft and the target.
    horizon
        Tokens to emit. Defaults to None, the pair's own.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> theory.support_condition(paper_pair(2))
    True
    """
    pair = tables_of(pair)
    horizon = pair.check_horizon(horizon)
    reached = pair.initial > 0
    for step in range(horizon):
        target, draft = rows_of(pair, step, False)
        if ((target[reached] > 0) & (draft[reached] == 0)).any():
            return False
        following = np.zeros_like(reached)
        following[pair.next_context[reached][target[reached] > 0]] = True
        reached = following
    return True


def limit_is_positive(pair: Pair | PairTables, *, horizon: int | None = None) -> bool:
    """Tell whether the limit of E[N_rej] for M -> infinity is positive.

    Item (4) of Proposition 1 claims it always is; that fails for horizon 1, and whenever the rows agree from
    the second step on. It is positive exactly when something is rejected after an accepted token, or when a
    root finds target mass outside the draft's support.

    Parameters
    ----------
    pair, horizon
        As in `support_condition`.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> theory.limit_is_positive(paper_pair(1)), theory.limit_is_positive(paper_pair(2))
    (False, True)
    """
    return bool(batch_limit_rejections(pair, horizon=horizon, exact=True) > 0)


def batch_limit_rejection_masses(
    pair: Pair | PairTables, *, support_term: bool = True, horizon: int | None = None, exact: bool = False
) -> list[Array]:
    """Return f^inf(x_{1:n}), the limit of equation (22), over all prefixes.

    ``f^inf(x_{1:n}) = (T_n - D_n)_+(x_n) [T(x_{1:n-1}) - f^inf(x_{1:n-1})]
    + T_n(x_n) 1{D_n(x_n) = 0} f^inf(x_{1:n-1})``

    Parameters
    ----------
    pair
        A small pair; the prompt is averaged over its initial law.
    support_term
        Whether the last term is added. The paper prints none, which is right only under
        `support_condition`. Defaults to True.
    horizon
        Tokens to emit. Defaults to None, the pair's own.
    exact
        Whether to return Fractions. Defaults to False.

    Returns
    -------
    list of ndarray
        Entry n-1 has shape ``(tokens ** n,)``.

    Raises
    ------
    TooLargeError
        There are too many prefixes; use `batch_limit_rejections`.

    Notes
    -----
    2411.00841, Proposition 1 (2), with f(empty) = 1.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> [masses.shape for masses in theory.batch_limit_rejection_masses(paper_pair(2))]
    [(7,), (49,)]
    """
    pair = tables_of(pair)
    horizon = pair.check_horizon(horizon)
    rows = partial(_limit_rows, pair, exact=exact, support_term=support_term)
    return masses_over_prefixes(pair, horizon, exact, 1, rows, "batch_limit_rejections")


@overload
def batch_limit_rejections(
    pair: Pair | PairTables,
    *,
    support_term: bool = True,
    horizon: int | None = None,
    exact: Literal[False] = False,
) -> float: ...
@overload
def batch_limit_rejections(
    pair: Pair | PairTables, *, support_term: bool = True, horizon: int | None = None, exact: Literal[True]
) -> Fraction: ...
@overload
def batch_limit_rejections(
    pair: Pair | PairTables, *, support_term: bool = True, horizon: int | None = None, exact: bool
) -> float | Fraction: ...
def batch_limit_rejections(
    pair: Pair | PairTables, *, support_term: bool = True, horizon: int | None = None, exact: bool = False
) -> float | Fraction:
    """Return the limit of E[N_rej] of the batch algorithm for M -> infinity.

    ``sum_n (E_target[TV_n] - E_{f^inf}[TV_n - T_n(D_n = 0)])``; without `support_term` the last term is left
    out as in Proposition 1 (3), which is right only under `support_condition`.

    Parameters
    ----------
    pair, support_term, horizon, exact
        As in `batch_limit_rejection_masses`, of any size.

    Notes
    -----
    2411.00841, Proposition 1 (3).

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> round(theory.batch_limit_rejections(paper_pair(50)), 4)
    12.0994
    """
    pair = tables_of(pair)
    horizon = pair.check_horizon(horizon)
    total: Any = sum(theorem_1_rejections_by_step(pair, horizon=horizon, exact=exact).tolist())
    rejected = initial_law(pair, exact)
    for step, law in enumerate(target_context_laws(pair, horizon, exact)):
        target, plain, outside = _limit_rows(pair, step, exact, support_term)
        total -= rejected @ (total_variation(target, rows_of(pair, step, exact)[1]) - outside.sum(axis=1))
        rejected = emit(pair, law - rejected, plain) + emit(pair, rejected, outside)
    return total if exact else float(total)


def _limit_rows(pair: PairTables, step: int, exact: bool, support_term: bool) -> tuple[Array, Array, Array]:
    target, draft = rows_of(pair, step, exact)
    plain = np.maximum(target - draft, target.flat[0] * 0)
    outside = np.where(draft == 0, target, 0 * target) if support_term else 0 * target
    return target, plain, outside
