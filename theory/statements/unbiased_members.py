"""Unbiased members of the rejection-based family (2411.00841, Algorithm 2), for Theorem 2 and Corollary 1."""

import random
from fractions import Fraction
from numbers import Rational

import numpy as np
from numpy.typing import ArrayLike

from specsim.algorithms import RejectionBased
from specsim.errors import InputError
from specsim.support.arrays import Array
from specsim.support.checks import whole
from specsim.theory.arithmetic.pair_tables import Pair, tables_of
from specsim.theory.laws.target import rows_of, target_context_laws
from specsim.theory.statements.batch_improvement import is_finite


def acceptance_from_epsilon(target: ArrayLike, draft: ArrayLike, epsilon: ArrayLike) -> Array:
    """Return a = min(1, (T + epsilon) / D), entrywise (2411.00841, Lemma 1); a = 1 where D = 0.

    Parameters
    ----------
    target, draft
        Rows of probabilities of any equal shape, floats or Fractions.
    epsilon
        Same shape, or a number; at least -T, as otherwise a would be negative.

    Returns
    -------
    ndarray
        Fractions (dtype object) when the rows are Fractions, otherwise float64.

    Raises
    ------
    InputError
        `epsilon` is below -T somewhere.

    Examples
    --------
    >>> from specsim import theory
    >>> theory.acceptance_from_epsilon([0.5, 0.5], [0.25, 0.75], 0.0).round(3)
    array([1.   , 0.667])
    """
    upper, lower, shift = _arrays(target=target, draft=draft, epsilon=epsilon)
    raised = upper + shift
    if np.any(raised < 0):
        raise InputError(
            "epsilon is below minus the target probability somewhere; acceptance would be negative"
        )
    one = upper.flat[0] * 0 + 1
    drafted = np.asarray(lower > 0)
    safe = np.where(drafted, lower, one)
    return np.where(drafted, np.minimum(one, raised / safe), one)


def epsilon_from_acceptance(target: ArrayLike, draft: ArrayLike, acceptance: ArrayLike) -> Array:
    """Return epsilon = a D - T, with which Lemma 1 of 2411.00841 writes any acceptance a.

    Parameters
    ----------
    target, draft, acceptance
        Arrays of one shape.

    Raises
    ------
    InputError
        The shapes differ, or entries are not real numbers.

    Examples
    --------
    >>> from specsim import theory
    >>> theory.epsilon_from_acceptance([0.5, 0.5], [0.25, 0.75], [1.0, 1.0])
    array([-0.25,  0.25])
    """
    upper, lower, kept = _arrays(target=target, draft=draft, acceptance=acceptance)
    return kept * lower - upper


def member_from_acceptance(
    pair: Pair, acceptance: ArrayLike, *, draft_length: int | None = None
) -> RejectionBased:
    """Return the unbiased member with the given acceptance: r = (T - a D) / sum (1 - a) D.

    Parameters
    ----------
    pair
        The draft and the target.
    acceptance
        Shape ``(steps, contexts, tokens)``, at most min(1, T / D) everywhere; floats are read exactly.
    draft_length
        Drafted tokens per round. Defaults to None, to the horizon.

    Returns
    -------
    RejectionBased
        With tables of Fractions. Where nothing is ever rejected the residual is the target row.

    Raises
    ------
    InputError
        The acceptance exceeds min(1, T / D): by Corollary 1 of 2411.00841 no residual makes it unbiased.

    Notes
    -----
    2411.00841, Corollary 1 and equations (11)-(14).

    Examples
    --------
    >>> import numpy as np
    >>> from specsim import paper_pair, theory
    >>> member = theory.member_from_acceptance(paper_pair(2), np.zeros((2, 7, 7)))
    >>> round(theory.expected_rejections(paper_pair(2), member), 6)
    2.0
    """
    tables = tables_of(pair)
    target, draft = tables.fractions(tables.target_weights), tables.fractions(tables.draft_weights)
    table = _fractions(acceptance, target.shape)
    kept = table * draft
    if (kept > target).any() or (table > 1).any() or (table < 0).any():
        raise InputError("acceptance is above min(1, target / draft) or negative somewhere; lower it")
    left = target - kept
    refused = (draft - kept).sum(axis=-1, keepdims=True)
    some = refused > 0
    residual = np.where(some, left / np.where(some, refused, refused + 1), target)
    return RejectionBased(acceptance=table, residual=residual, draft_length=draft_length, bonus=False)


def random_unbiased_member(
    pair: Pair, seed: int, *, draft_length: int | None = None, resolution: int = 8
) -> RejectionBased:
    """Return a random unbiased member of the family, in exact rationals.

    Every acceptance is min(1, T / D) times a factor k / `resolution`, with k uniform on 0..`resolution`, so
    that full acceptance and full refusal both occur.

    Parameters
    ----------
    pair
        The draft and the target.
    seed
        The same seed gives the same member.
    draft_length
        Drafted tokens per round. Defaults to None, to the horizon.
    resolution
        Number of steps of the factors, at least 1. Defaults to 8.

    Raises
    ------
    InputError
        `resolution` below 1.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> member = theory.random_unbiased_member(paper_pair(2), seed=1)
    >>> theory.expected_rejections(paper_pair(2), member) > theory.optimal_rejections(paper_pair(2))
    True
    """
    resolution = whole("resolution", resolution, 1)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise InputError(f"seed is {seed!r}; give a whole number")
    generator = random.Random(int(seed))
    tables = tables_of(pair)
    target, draft = tables.fractions(tables.target_weights), tables.fractions(tables.draft_weights)
    largest = acceptance_from_epsilon(target, draft, 0)
    factors = np.empty(target.shape, dtype=object)
    for index in np.ndindex(factors.shape):
        factors[index] = Fraction(generator.randint(0, resolution), resolution)
    return member_from_acceptance(pair, largest * factors, draft_length=draft_length)


def member_rejections(pair: Pair, acceptance: ArrayLike, *, horizon: int | None = None) -> Fraction:
    """Return sum_n E_target[ sum_x (1 - a) D ], the expected rejections of the unbiased member.

    Parameters
    ----------
    pair, acceptance
        As in `member_from_acceptance`; one table of rows per step of the pair.
    horizon
        Tokens to emit. Defaults to None, the pair's own.

    Notes
    -----
    Holds because an unbiased member's prefixes have the target's law (2411.00841, proof of Theorem 2); the
    bound of Theorem 2 follows from a <= min(1, T / D).

    Examples
    --------
    >>> import numpy as np
    >>> from specsim import paper_pair, theory
    >>> theory.member_rejections(paper_pair(2), np.zeros((2, 7, 7)))
    Fraction(2, 1)
    """
    tables = tables_of(pair)
    horizon = tables.check_horizon(horizon)
    table = _fractions(acceptance, tables.target_weights.shape)
    total = Fraction(0)
    for step, law in enumerate(target_context_laws(tables, horizon, True)):
        draft = rows_of(tables, step, True)[1]
        refused = (draft * (1 - table[tables.step_index(step)])).sum(axis=-1)
        total += law @ refused
    return total


def _arrays(**values: ArrayLike) -> list[Array]:
    """Return the arguments as arrays of one shape (a number fits any), of Fractions if any has one."""
    found = {name: np.asarray(value) for name, value in values.items()}
    for name, array in found.items():
        real = array.dtype.kind in "iuf" or (
            array.dtype.kind == "O" and all(isinstance(value, Rational | float) for value in array.flat)
        )
        if not real or array.size == 0 or not all(map(is_finite, array.flat)):
            raise InputError(f"{name} is {_short(values[name])}; give an array of finite floats or Fractions")
    try:
        arrays = np.broadcast_arrays(*found.values())
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in found.items())
        raise InputError(f"the shapes differ ({shapes}); give arrays of one shape") from None
    if any(array.dtype.kind == "O" for array in arrays):
        return [_exact(array) for array in arrays]
    return [array.astype(np.float64) for array in arrays]


def _exact(array: Array) -> Array:
    exact = np.empty(array.shape, dtype=object)
    for index, value in np.ndenumerate(array):
        exact[index] = Fraction(value.item() if isinstance(value, np.generic) else value)
    return exact


def _fractions(acceptance: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Return a table as Fractions, each float read as the exact number it is."""
    (table,) = _arrays(acceptance=acceptance)
    if table.shape != shape:
        raise InputError(f"acceptance has shape {table.shape}; give {shape}, the pair's rows")
    return _exact(table)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
