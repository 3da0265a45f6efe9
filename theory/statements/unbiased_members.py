"""Unbiased members of the rejection-based family (2411.00841, Algorithm 2), for Theorem 2 and Corollary 1."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from specsim.algorithms import RejectionBased
from specsim.errors import InputError
from specsim.support.checks import whole
from specsim.theory.arithmetic.pair_tables import Pair, tables_of
from specsim.theory.laws.target import rows_of, target_context_laws

Array = NDArray[Any]


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
    """
    upper, lower = np.asarray(target), np.asarray(draft)
    raised = upper + np.asarray(epsilon)
    if (raised < 0).any():
        raise InputError(
            "epsilon is below minus the target probability somewhere; acceptance would be negative"
        )
    one = upper.flat[0] * 0 + 1
    drafted = lower > 0
    safe = np.where(drafted, lower, one)
    return np.where(drafted, np.minimum(one, raised / safe), one)


def epsilon_from_acceptance(target: ArrayLike, draft: ArrayLike, acceptance: ArrayLike) -> Array:
    """Return epsilon = a D - T, with which Lemma 1 of 2411.00841 writes any acceptance a.

    Parameters
    ----------
    target, draft, acceptance
        Arrays of one shape.
    """
    return np.asarray(acceptance) * np.asarray(draft) - np.asarray(target)


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
    """
    tables = tables_of(pair)
    target, draft = tables.fractions(tables.target_weights), tables.fractions(tables.draft_weights)
    table = np.array(acceptance, dtype=object)
    if table.shape != target.shape:
        raise InputError(f"acceptance has shape {table.shape}; give {target.shape}, the pair's rows")
    for index, value in np.ndenumerate(table):
        table[index] = Fraction(value)
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
    """
    whole("resolution", resolution, 1)
    generator = random.Random(seed)
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
    """
    tables = tables_of(pair)
    horizon = tables.check_horizon(horizon)
    table = np.array(acceptance, dtype=object)
    total = Fraction(0)
    for step, law in enumerate(target_context_laws(tables, horizon, True)):
        draft = rows_of(tables, step, True)[1]
        refused = (draft * (1 - table[tables.step_index(step)])).sum(axis=-1)
        total += law @ refused
    return total
