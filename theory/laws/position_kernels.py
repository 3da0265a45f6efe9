"""What one position of a round does, as kernels: the mass that accepts and the mass that rejects.

For most descriptors a position depends only on its context and on whether it is the *root* of its round
(the first drafted position) or a *follow* position. Each descriptor registers its kernels with
`step_kernels`; the recursions of `specsim.theory.laws.recursion` do the rest.

The same formulas serve float64 arrays (``unit`` 1.0) and arrays of Python integers that count multiples of
1 / ``denominator`` (``unit`` 2^32).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import (
    Algorithm,
    Autoregressive,
    Batch,
    BatchAsPrinted,
    OverAcceptance,
    RejectionBased,
    Speculative,
)
from specsim.errors import InputError, TooLargeError, UnsupportedError
from specsim.theory.arithmetic.pair_tables import PairTables

_MAX_KERNEL_BITS = 1e11
_CHUNK = 2**17


@dataclass(frozen=True)
class StepRows:
    """The rows of one step, times ``unit``: float64 with unit 1, or Python integers with unit 2^32."""

    target: NDArray[Any]
    draft: NDArray[Any]
    unit: Any
    step: int
    exact: bool

    @classmethod
    def of(cls, pair: PairTables, step: int, exact: bool) -> StepRows:
        """Read the rows of `step` (from 0), shape ``(contexts, tokens)``."""
        index = pair.step_index(step)
        if exact:
            return cls(
                pair.target_weights[index].astype(object),
                pair.draft_weights[index].astype(object),
                pair.unit,
                step,
                True,
            )
        return cls(pair.target[index], pair.draft[index], 1.0, step, False)


@dataclass(frozen=True)
class Position:
    """Accept and reject kernels of one kind of position, over ``denominator`` (1 for floats).

    Attributes
    ----------
    accept, reject
        Shape ``(contexts, tokens)``: mass that emits the token as an accepted draft token, or as the
        residual token after a rejection. Together every row sums to ``denominator``.
    """

    accept: NDArray[Any]
    reject: NDArray[Any]
    denominator: Any


@dataclass(frozen=True)
class StepKernels:
    """The kernels of one step over one common ``denominator``; ``target`` serves bonus tokens."""

    root: Position
    follow: Position
    target: NDArray[Any]
    denominator: Any


@dataclass(frozen=True)
class Rounds:
    """The shape of the rounds: drafted tokens per call (0: none, None: to the horizon) and the bonus."""

    draft_length: int | None
    bonus: bool

    @property
    def has_bonus(self) -> bool:
        """Whether a whole accepted draft is followed by a bonus token."""
        return self.draft_length is not None and self.bonus


def rounds_of(algorithm: Algorithm) -> Rounds:
    """Return the shape of the rounds of a descriptor."""
    if isinstance(algorithm, Autoregressive):
        return Rounds(0, True)
    return Rounds(getattr(algorithm, "draft_length", None), getattr(algorithm, "bonus", False))


def step_kernels(algorithm: Algorithm, rows: StepRows) -> StepKernels:
    """Return the kernels of `algorithm` on the rows of one step, over one common denominator.

    Raises
    ------
    UnsupportedError
        The descriptor has no kernels.
    InputError
        The tables of a `RejectionBased` do not fit the pair.
    TooLargeError
        The exact kernels of a batch would have too many digits.
    """
    root, follow = position_kernels(algorithm, rows)
    if not rows.exact:
        return StepKernels(root, follow, rows.target, 1)
    common = math.lcm(root.denominator, follow.denominator, rows.unit)
    scaled = [
        position
        if position.denominator == common
        else Position(
            position.accept * (common // position.denominator),
            position.reject * (common // position.denominator),
            common,
        )
        for position in (root, follow)
    ]
    return StepKernels(scaled[0], scaled[1], rows.target * (common // rows.unit), common)


def kernels_by_step(
    algorithm: Algorithm, pair: PairTables, horizon: int, exact: bool
) -> Iterator[StepKernels]:
    """Yield the kernels of every step; see `step_kernels`.

    Floats of many steps are computed at once: kernels are made row by row, so steps stack like contexts.
    """
    tabled = isinstance(algorithm, RejectionBased)
    if pair.stationary and not _changes_by_step(algorithm):
        kernels = step_kernels(algorithm, StepRows.of(pair, 0, exact))
        for _ in range(horizon):
            yield kernels
        return
    if exact or tabled:
        for step in range(horizon):
            yield step_kernels(algorithm, StepRows.of(pair, step, exact))
        return
    contexts, tokens = pair.contexts, pair.tokens
    chunk = max(1, _CHUNK // (contexts * tokens))
    for start in range(0, horizon, chunk):
        stop = min(horizon, start + chunk)
        rows = StepRows(
            pair.target[start:stop].reshape(-1, tokens),
            pair.draft[start:stop].reshape(-1, tokens),
            1.0,
            start,
            False,
        )
        stacked = step_kernels(algorithm, rows)
        for step in range(stop - start):
            part = slice(step * contexts, (step + 1) * contexts)
            yield StepKernels(
                Position(stacked.root.accept[part], stacked.root.reject[part], 1),
                Position(stacked.follow.accept[part], stacked.follow.reject[part], 1),
                stacked.target[part],
                1,
            )


def _changes_by_step(algorithm: Algorithm) -> bool:
    if not isinstance(algorithm, RejectionBased):
        return False
    return max(algorithm.acceptance.shape[0], algorithm.residual.shape[0]) > 1


@singledispatch
def position_kernels(algorithm: Algorithm, rows: StepRows) -> tuple[Position, Position]:
    """Return the kernels of root and follow positions; register new descriptors here."""
    raise UnsupportedError(
        f"algorithm is {type(algorithm).__name__}; theory has no kernels for it, "
        "register them with specsim.theory.laws.position_kernels.position_kernels"
    )


@position_kernels.register
def _(algorithm: Autoregressive, rows: StepRows) -> tuple[Position, Position]:
    # Every round is a target token after an empty draft: these kernels are never walked.
    plain = plain_position(rows)
    return plain, plain


@position_kernels.register
def _(algorithm: Speculative, rows: StepRows) -> tuple[Position, Position]:
    plain = plain_position(rows)
    return plain, plain


def plain_position(rows: StepRows) -> Position:
    """Algorithm 1: accept min(D, T), reject (T - D)_+."""
    accept = np.minimum(rows.target, rows.draft)
    return Position(accept, rows.target - accept, rows.unit)


@position_kernels.register
def _(algorithm: RejectionBased, rows: StepRows) -> tuple[Position, Position]:
    acceptance = _table("acceptance", algorithm.acceptance, rows)
    residual = _table("residual", algorithm.residual, rows)
    position = _family_position(rows, acceptance, residual)
    return position, position


def _family_position(
    rows: StepRows, acceptance: tuple[NDArray[Any], Any], residual: tuple[NDArray[Any], Any]
) -> Position:
    numerators, denominator = acceptance
    accept = numerators * rows.draft
    refused = (denominator * rows.draft - accept).sum(axis=1)
    return _spread(accept, refused, residual[0], rows.unit * denominator, rows.exact)


@position_kernels.register
def _(algorithm: OverAcceptance, rows: StepRows) -> tuple[Position, Position]:
    if rows.exact:
        epsilon = Fraction(algorithm.epsilon)
        scale: Any = epsilon.denominator
        raised = rows.target * scale + epsilon.numerator * rows.unit
    else:
        scale = 1.0
        raised = rows.target + float(algorithm.epsilon)
    accept = np.minimum(rows.draft * scale, raised)
    refused = (rows.draft * scale - accept).sum(axis=1)
    if algorithm.residual == "optimal":
        weights = positive(rows.target - rows.draft)
    else:
        weights = rows.target if algorithm.residual == "target" else rows.draft
    position = _spread(accept, refused, weights, rows.unit * scale, rows.exact)
    return position, position


@position_kernels.register
def _(algorithm: Batch, rows: StepRows) -> tuple[Position, Position]:
    if algorithm.drafts == math.inf:
        # lim (T - C_M D)_+ with C_M -> inf wherever something is left to lose.
        reject = np.where(rows.draft == 0, rows.target, 0 * rows.target)
        return Position(rows.target - reject, reject, rows.unit), plain_position(rows)
    reject, denominator = root_excess(rows, int(algorithm.drafts))
    accept = rows.target * (denominator // rows.unit if rows.exact else 1.0) - reject
    return Position(accept, reject, denominator), plain_position(rows)


@position_kernels.register
def _(algorithm: BatchAsPrinted, rows: StepRows) -> tuple[Position, Position]:
    # Line 28 subtracts the draft from the row in use when the loop is left, which is excess / total.
    failures = 1 if algorithm.slip == "inside-loop" else algorithm.drafts
    excess, denominator = root_excess(rows, failures)
    one_too_many = positive(excess * rows.unit - excess.sum(axis=1)[:, None] * rows.draft)
    accept = rows.target * (denominator // rows.unit if rows.exact else 1.0) - excess
    root = _spread(accept, excess.sum(axis=1), one_too_many, denominator, rows.exact)
    return root, plain_position(rows)


def root_excess(rows: StepRows, drafts: int) -> tuple[NDArray[Any], Any]:
    """Mass written after all `drafts` root candidates failed: (T - C_M D)_+ of paper 2411.00841's batch.

    With C_1 = 1, B_m = sum_x (T - C_m D)_+ and C_{m+1} = C_m + B_m it equals B_M T^(M+1): the form of
    Theorem 3 without any normalisation.

    Returns
    -------
    excess, denominator
        ``(contexts, tokens)`` over ``denominator`` (1 for floats, 2^(32 drafts) for integers).
    """
    if rows.exact and 16.0 * drafts**2 * rows.target.size > _MAX_KERNEL_BITS:
        raise TooLargeError(
            f"drafts is {drafts} with {rows.target.shape[0]} contexts and {rows.target.shape[1]} tokens: "
            f"exact kernels need integers of {32 * drafts} bits; use exact=False, fewer drafts, or drafts=inf"
        )
    target, draft, unit = rows.target, rows.draft, rows.unit
    count = np.full(len(target), 1 if rows.exact else 1.0, dtype=target.dtype)  # C_m times scale
    scale = 1 if rows.exact else 1.0
    for m in range(1, drafts):
        excess = positive(target * scale - count[:, None] * draft)
        mass = excess.sum(axis=1)
        if not mass.any():
            break
        count = count * unit + mass
        scale = scale * unit
        if m & (m - 1) == 0:
            target, draft = _compress(target, draft, excess != 0)
    excess = positive(rows.target * scale - count[:, None] * rows.draft)
    return excess, scale * unit if rows.exact else 1


def _compress(
    target: NDArray[Any], draft: NDArray[Any], alive: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[Any]]:
    # C_m grows: a token without excess never has any again. Keep the columns that still matter.
    width = max(1, int(alive.sum(axis=1).max()))
    if 2 * width > target.shape[1]:
        return target, draft
    order = np.argsort(~alive, axis=1, kind="stable")[:, :width]
    return np.take_along_axis(target, order, axis=1), np.take_along_axis(draft, order, axis=1)


def positive(values: NDArray[Any]) -> NDArray[Any]:
    """Entrywise positive part, for floats and for Python integers."""
    return np.where(values > 0, values, 0 * values)


def _spread(
    accept: NDArray[Any], refused: NDArray[Any], weights: NDArray[Any], denominator: Any, exact: bool
) -> Position:
    """Distribute the refused mass of each context in proportion to a row of weights."""
    totals = weights.sum(axis=1)
    if (np.asarray(totals == 0) & np.asarray(refused > 0)).any():
        raise AssertionError("an empty residual was reached with positive probability")
    if not exact:
        factor = np.divide(refused, totals, out=np.zeros_like(refused), where=totals > 0)
        return Position(accept, factor[:, None] * weights, 1)
    needed = [
        total // math.gcd(mass, total) if mass else 1 for mass, total in zip(refused, totals, strict=True)
    ]
    scale = math.lcm(*needed)
    factors = [(mass * scale, total) if mass else (0, 1) for mass, total in zip(refused, totals, strict=True)]
    reject = np.empty_like(weights)
    for context, (mass, total) in enumerate(factors):
        reject[context] = [mass * weight // total for weight in weights[context]]
    return Position(accept * scale, reject, denominator * scale)


def _table(field: str, table: NDArray[Any], rows: StepRows) -> tuple[NDArray[Any], Any]:
    """Rows of a table at the step: floats over 1.0, or integers over a common denominator."""
    if table.shape[1:] != rows.target.shape:
        raise InputError(
            f"{field} has contexts and tokens {table.shape[1:]}; this pair has {rows.target.shape}"
        )
    if 1 < table.shape[0] <= rows.step:
        raise InputError(f"{field} has {table.shape[0]} steps; give 1, or one for each of the horizon")
    row = table[rows.step if table.shape[0] > 1 else 0]
    if not rows.exact:
        return row.astype(np.float64), 1.0
    fractions = [[Fraction(value) for value in line] for line in row]
    common = math.lcm(*(value.denominator for line in fractions for value in line))
    numbers = np.empty(row.shape, dtype=object)
    for context, line in enumerate(fractions):
        numbers[context] = [value.numerator * (common // value.denominator) for value in line]
    return numbers, common
