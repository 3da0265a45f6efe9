"""Theorem 3 of 2411.00841: rejections of batch speculative decoding, with its unprinted base case.

Written from the theorem as it stands (normalised root targets T^(m), masses s_m), without the closed form
that the law functions use, so that the two can be compared.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Literal, NamedTuple, overload

import numpy as np

from specsim.errors import InputError, TooLargeError
from specsim.support.arrays import Array
from specsim.support.checks import whole
from specsim.theory.arithmetic.pair_tables import Pair, PairTables, tables_of
from specsim.theory.laws.target import emit, initial_law, rows_of, target_context_laws
from specsim.theory.statements.theorem_1 import total_variation

_MAX_PREFIXES = 2**18
_MOST_DRAFTS = 2**17
_STEPS_AT_ONCE_CELLS = 2**15


class RootRows(NamedTuple):
    """The root of a batch round in every context: masses B_M ``(contexts,)`` and rows T^(M+1)."""

    masses: Array
    rows: Array


def check_drafts(drafts: int) -> int:
    """Return `drafts`, or raise `InputError` unless it is a whole number of at least 1 and not too large."""
    drafts = whole("drafts", drafts, 1, otherwise=" (batch_limit_rejections has the limit)")
    if drafts > _MOST_DRAFTS:
        raise TooLargeError(
            f"drafts is {drafts}, more than {_MOST_DRAFTS} steps of the printed recursion; use "
            "expected_rejections(pair, Batch(drafts=...)), or batch_limit_rejections for the limit"
        )
    return drafts


def root_rows(target: Array, draft: Array, drafts: int) -> RootRows:
    """Iterate T^(m+1) = (T^(m) - D)_+ / s_m and B_M = s_1 ... s_M as printed (2411.00841, Theorem 3).

    target, draft: rows ``(contexts, tokens)``, floats or Fractions.
    drafts: M, at least 1.
    """
    rows = target
    zero = target.flat[0] * 0
    masses = target.sum(axis=1) * 0 + 1
    for _ in range(drafts):
        excess = np.maximum(rows - draft, zero)
        step = excess.sum(axis=1)
        masses = masses * step
        # s_m = 0: the residual is empty and never used.
        safe = np.where(step > 0, step, zero + 1)
        rows = np.where((step > 0)[:, None], excess / safe[:, None], rows)
    return RootRows(masses, rows)


def batch_rejection_masses(
    pair: Pair | PairTables,
    drafts: int,
    *,
    base_case: int | Fraction = 1,
    horizon: int | None = None,
    exact: bool = False,
) -> list[Array]:
    """Return f(x_{1:n}) = Pr(x_{1:n}, position n rejected) of Theorem 3, equation (22), over all prefixes.

    ``f(x_{1:n}) = (T_n - D_n)_+(x_n) T(x_{1:n-1})
    - [(T_n - D_n)_+(x_n) - B_M T^(M+1)(x_n)] f(x_{1:n-1})``

    Parameters
    ----------
    pair
        A small pair; the prompt is averaged over its initial law.
    drafts
        Number of drafts M.
    base_case
        f of the empty prefix, which the paper never prints. Defaults to 1, which is right: the first
        position is a root. 0 is kept to show that it is wrong.
    horizon
        Tokens to emit. Defaults to None, the pair's own.
    exact
        Whether to return Fractions. Defaults to False.

    Returns
    -------
    list of ndarray
        Entry n-1 has shape ``(tokens ** n,)``, prefixes numbered in base `tokens`.

    Raises
    ------
    TooLargeError
        There are too many prefixes; use `batch_rejections`.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> [masses.shape for masses in theory.batch_rejection_masses(paper_pair(2), 4)]
    [(7,), (49,)]
    """
    pair = tables_of(pair)
    horizon = pair.check_horizon(horizon)
    check_drafts(drafts)
    _check_base_case(base_case)

    def rows(step: int) -> tuple[Array, Array, Array]:
        target, draft = rows_of(pair, step, exact)
        root = root_rows(target, draft, drafts)
        return target, np.maximum(target - draft, target.flat[0] * 0), root.masses[:, None] * root.rows

    return masses_over_prefixes(pair, horizon, exact, base_case, rows, "batch_rejections")


def masses_over_prefixes(
    pair: PairTables,
    horizon: int,
    exact: bool,
    base_case: int | Fraction,
    rows: Callable[[int], tuple[Array, Array, Array]],
    instead: str,
) -> list[Array]:
    """Return f(x_{1:n}) = plain T(x_{1:n-1}) - (plain - root) f(x_{1:n-1}) for n = 1..horizon.

    rows: gives for a step the target rows and the masses rejected after an accepted token and at a root.
    TooLargeError: there are too many prefixes; the message names the function to use `instead`.
    """
    initial = initial_law(pair, exact)
    prompts = np.flatnonzero(initial)
    if len(prompts) * pair.tokens**horizon > _MAX_PREFIXES:
        raise TooLargeError(
            f"horizon is {horizon} with {pair.tokens} tokens: {pair.tokens}**{horizon} prefixes for each of "
            f"{len(prompts)} prompts (at most {_MAX_PREFIXES} in all); use {instead}"
        )
    # One row per prompt: everything is linear, so the prompt's probability is a common factor.
    contexts = prompts[:, None]
    law = initial[prompts][:, None]
    masses = law * base_case
    result = []
    for step in range(horizon):
        target, plain, root = rows(step)
        masses = plain[contexts] * law[:, :, None] - (plain - root)[contexts] * masses[:, :, None]
        law = law[:, :, None] * target[contexts]
        size = masses.shape[1] * masses.shape[2]
        masses, law = masses.reshape(-1, size), law.reshape(-1, size)
        contexts = pair.next_context[contexts].reshape(-1, size)
        result.append(masses.sum(axis=0))
    return result


def _roots(pair: PairTables, drafts: int, horizon: int, exact: bool) -> Iterator[RootRows]:
    """Yield `root_rows` of every step; floats of many steps are iterated together."""
    if exact or pair.stationary:
        for step in range(horizon):
            if step == 0 or not pair.stationary:
                root = root_rows(*rows_of(pair, step, exact), drafts)
            yield root
        return
    together = max(1, _STEPS_AT_ONCE_CELLS // (pair.contexts * pair.tokens))
    for start in range(0, horizon, together):
        target, draft = pair.target[start : start + together], pair.draft[start : start + together]
        stacked = root_rows(target.reshape(-1, pair.tokens), draft.reshape(-1, pair.tokens), drafts)
        for step in range(min(together, horizon - start)):
            part = slice(step * pair.contexts, (step + 1) * pair.contexts)
            yield RootRows(stacked.masses[part], stacked.rows[part])


class _Step(NamedTuple):
    law: Array  # mu_{n-1}: the target's law of the context
    before: Array  # F_{n-1}: contexts reached by a rejected token
    after: Array  # F_n
    variation: Array
    root_masses: Array


def _steps(
    pair: Pair | PairTables, drafts: int, base_case: int | Fraction, horizon: int | None, exact: bool
) -> Iterator[_Step]:
    """Equation (22) summed over the prefixes that end in one context."""
    pair = tables_of(pair)
    horizon = pair.check_horizon(horizon)
    check_drafts(drafts)
    _check_base_case(base_case)
    rejected = initial_law(pair, exact) * base_case
    roots = _roots(pair, drafts, horizon, exact)
    for step, law in enumerate(target_context_laws(pair, horizon, exact)):
        target, draft = rows_of(pair, step, exact)
        root = next(roots)
        plain = np.maximum(target - draft, target.flat[0] * 0)
        gain = plain - root.masses[:, None] * root.rows
        after = emit(pair, law, plain) - emit(pair, rejected, gain)
        yield _Step(law, rejected, after, total_variation(target, draft), root.masses)
        rejected = after


@overload
def batch_rejections(
    pair: Pair | PairTables, drafts: int, *, base_case: int | Fraction = 1, horizon: int | None = None,
    exact: Literal[False] = False,
) -> float: ...  # fmt: skip
@overload
def batch_rejections(
    pair: Pair | PairTables, drafts: int, *, base_case: int | Fraction = 1, horizon: int | None = None,
    exact: Literal[True],
) -> Fraction: ...  # fmt: skip
@overload
def batch_rejections(
    pair: Pair | PairTables, drafts: int, *, base_case: int | Fraction = 1, horizon: int | None = None,
    exact: bool,
) -> float | Fraction: ...  # fmt: skip
def batch_rejections(
    pair: Pair | PairTables,
    drafts: int,
    *,
    base_case: int | Fraction = 1,
    horizon: int | None = None,
    exact: bool = False,
) -> float | Fraction:
    """Return Theorem 3: sum_n E_target[TV_n] - sum_n E_f[TV_n - B_M], for drafts to the horizon.

    The second sum is the batch improvement; E_f pairs the mass f(x_{1:n-1}) with the rows of step n.

    Parameters
    ----------
    pair, drafts, base_case, horizon
        As in `batch_rejection_masses`, of any size.
    exact
        Whether to return a Fraction. Defaults to False, a float.

    Notes
    -----
    2411.00841, Theorem 3 (Theorem 9 of its Appendix D). f is carried summed over the prefixes that share a
    context, which is exact because the rows depend on nothing else.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> [round(theory.batch_rejections(paper_pair(50), drafts), 4) for drafts in (1, 2, 4)]
    [16.4049, 15.0023, 14.0901]
    """
    total: Any = 0
    for step in _steps(pair, drafts, base_case, horizon, exact):
        total += step.law @ step.variation - step.before @ (step.variation - step.root_masses)
    return total if exact else float(total)


@overload
def shifted_batch_rejections(
    pair: Pair | PairTables, drafts: int, *, horizon: int | None = None, exact: Literal[False] = False
) -> float: ...
@overload
def shifted_batch_rejections(
    pair: Pair | PairTables, drafts: int, *, horizon: int | None = None, exact: Literal[True]
) -> Fraction: ...
@overload
def shifted_batch_rejections(
    pair: Pair | PairTables, drafts: int, *, horizon: int | None = None, exact: bool
) -> float | Fraction: ...
def shifted_batch_rejections(
    pair: Pair | PairTables, drafts: int, *, horizon: int | None = None, exact: bool = False
) -> float | Fraction:
    """Return the index-shifted sum of the paper's plotted batch curves: an erratum, not E[N_rej].

    ``sum_n [ mu_{n-1} TV_n - F_n (TV_n - B_{M,n}) ]``: the mass rejected *at* step n is paired with the rows
    of step n, where Theorem 3 pairs the mass rejected at step n - 1.

    Parameters
    ----------
    pair, drafts, horizon, exact
        As in `batch_rejections`.

    Notes
    -----
    Agrees with the lines of figures 2b, 2c and 5 of 2411.00841 to the precision at which they can be read;
    the number Algorithm 4 really has is `batch_rejections`.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> round(theory.shifted_batch_rejections(paper_pair(50), 4), 4)
    14.2198
    """
    total: Any = 0
    for step in _steps(pair, drafts, 1, horizon, exact):
        total += step.law @ step.variation - step.after @ (step.variation - step.root_masses)
    return total if exact else float(total)


def batch_rejections_by_recursion(
    pair: Pair | PairTables, drafts: int, *, horizon: int | None = None, exact: bool = False
) -> Array:
    """Return E[R_n] for n = 1..horizon from F_n = (mu_{n-1} - F_{n-1}) H_n + F_{n-1} W_n, ``(horizon,)``.

    H = (T - D)_+ is the rejection kernel after an accepted token, W = (T - C_M D)_+ that of a root, with
    C_1 = 1 and C_{m+1} = C_m + sum_x (T - C_m D)_+.

    Parameters
    ----------
    pair, drafts, horizon, exact
        As in `batch_rejections`.

    Notes
    -----
    Equation (22) of 2411.00841 rearranged: no subtraction of masses, no normalisation.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> theory.batch_rejections_by_recursion(paper_pair(3), 4).round(4)
    array([0.2382, 0.3623, 0.257 ])
    """
    pair = tables_of(pair)
    horizon = pair.check_horizon(horizon)
    check_drafts(drafts)
    rejected = initial_law(pair, exact)
    terms = []
    for step, law in enumerate(target_context_laws(pair, horizon, exact)):
        target, draft = rows_of(pair, step, exact)
        zero = target.flat[0] * 0
        plain = np.maximum(target - draft, zero)
        root, count = plain, zero + 1
        for _ in range(drafts - 1):
            count = count + root.sum(axis=1, keepdims=True)
            root = np.maximum(target - count * draft, zero)
        rejected = emit(pair, law - rejected, plain) + emit(pair, rejected, root)
        terms.append(rejected.sum())
    return np.array(terms, dtype=object if exact else np.float64)


def _check_base_case(base_case: int | Fraction) -> None:
    if isinstance(base_case, bool) or not isinstance(base_case, int | Fraction) or not 0 <= base_case <= 1:
        raise InputError(f"base_case is {base_case!r}; give an int or a Fraction from 0 to 1")
