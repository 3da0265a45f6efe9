"""Collapsed laws of one position as integer masses, and the alias tables that draw from them.

Accepting a drafted token and replacing a rejected one are one draw from the law of (token, rejected or not).
Its masses are integers that sum to 2^32, so that an alias table with ``2**bits`` columns of capacity
``2**(32 - bits)`` holds them without rounding, and one 32-bit word draws from it exactly.

For Algorithm 1 of 2411.00841 the masses are min(T, D) for accepted and (T - D)_+ for rejected tokens, exact.
Other laws are rounded to multiples of 2^-32 by largest remainder, row by row, unless they are exact already:
no mass changes by more than 2^-32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specsim.engines.lockstep.plans import Plan
from specsim.engines.lockstep.tables import Indices, Words, of_steps
from specsim.pairs import UNIT, ModelPair, round_to_units
from specsim.support.arrays import Floats

#: Fewest columns of a table, so that all small vocabularies share one layout with the permuting kernel.
FEWEST_BITS = 4
_SCRATCH_BYTES = 2**25
_SHIFT = np.uint64(31)


@dataclass(frozen=True, kw_only=True)
class AliasTables:
    """Tables of the steps ``begin .. end - 1``.

    begin, end: range of steps, counted from 0.
    entries: uint32 of shape ``(steps or 1, rows * 2**bits)``; see
        `specsim.engines.alias.kernels.build.build`.
    """

    begin: int
    end: int
    entries: Indices


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the rows of a step lie.

    bits: binary logarithm of the number of columns.
    rows: rows per step: one per context for positions inside a round, then, if they differ, for first
        positions of a round, then for bonus tokens.
    root, bonus: first row for first positions and for bonus tokens; 0 when there are none of their own.
    """

    bits: int
    rows: int
    root: int
    bonus: int

    @classmethod
    def of(cls, pair: ModelPair, plan: Plan) -> Layout:
        """Lay out the rows of a step."""
        rooted = plan.root is not None and plan.subtractions > 1
        with_bonus = plan.bonus and plan.draft_length > 0
        banks = 1 + rooted + with_bonus
        return cls(
            bits=column_bits(2 * pair.tokens, FEWEST_BITS),
            rows=banks * pair.contexts,
            root=pair.contexts if rooted else 0,
            bonus=(banks - 1) * pair.contexts if with_bonus else 0,
        )

    @property
    def step_bytes(self) -> int:
        """Bytes of the table of one step: 4 per column."""
        return self.rows * 4 * 2**self.bits

    def scratch_bytes(self, pair: ModelPair) -> int:
        """Bytes needed for a moment to build the tables of one step."""
        return 8 * 8 * pair.contexts * pair.tokens + 12 * max(_SCRATCH_BYTES, 8 * 2**self.bits)


def column_bits(atoms: int, fewest: int = 1) -> int:
    """Binary logarithm of the number of columns for a number of atoms."""
    return max(fewest, int(atoms - 1).bit_length())


def build_tables(pair: ModelPair, plan: Plan, layout: Layout, begin: int, end: int) -> AliasTables:
    """Build the tables of the steps ``begin .. end - 1``, step by step to bound the scratch memory."""
    steps = np.arange(begin, end) if plan.table_steps > 1 else np.zeros(1, np.intp)
    columns = 2**layout.bits
    entries = np.empty((len(steps), layout.rows * columns), np.uint32)
    for index in range(len(steps)):
        chosen = steps[index : index + 1]
        rows = entries[index].reshape(layout.rows, columns)
        first = rows[: pair.contexts]
        if plan.draft_length == 0:
            _pack_bank(of_steps(pair.target_weights, chosen)[0], None, layout.bits, first)
            continue
        _pack_bank(plan.thresholds(chosen)[0], plan.residual(chosen)[0], layout.bits, first)
        if layout.root:
            target, draft = of_steps(pair.target, chosen)[0], of_steps(pair.draft, chosen)[0]
            for part in _parts(pair.contexts, layout.bits):
                laws = root_laws(target[part], draft[part], plan.drafts, plan.subtractions)
                masses = round_to_units(np.concatenate(laws, axis=1))
                root = rows[layout.root : layout.root + pair.contexts][part]
                root[:] = _pack_atoms(masses[:, : pair.tokens], masses[:, pair.tokens :], layout.bits)
        if layout.bonus:
            _pack_bank(of_steps(pair.target_weights, chosen)[0], None, layout.bits, rows[layout.bonus :])
    return AliasTables(begin=begin, end=end, entries=entries)


def collapse(thresholds: Words, residual: Words) -> tuple[Words, Words]:
    """Collapse acceptance and residual to integer masses.

    thresholds: probability of (token drafted and accepted) times 2^63, uint64 of shape ``(rows, tokens)``.
    residual: integer weights of the residual law, same shape.
    Returns: uint64 of the same shape; each row of the two together sums to 2^32.
    """
    accepted = thresholds >> _SHIFT
    missing = np.uint64(UNIT) - accepted.sum(axis=1, dtype=np.uint64)
    weights = residual.sum(axis=1, dtype=np.uint64)
    exact = ((thresholds & np.uint64(2**31 - 1)) == 0).all(axis=1) & ((missing == weights) | (missing == 0))
    rejected = np.where((missing == 0)[:, None], np.uint64(0), residual)
    inexact = np.flatnonzero(~exact)
    if len(inexact):
        kept = thresholds[inexact].astype(np.float64) / 2.0**63
        lost = np.maximum(1.0 - np.cumsum(kept, axis=1)[:, -1:], 0.0)
        share = residual[inexact].astype(np.float64) / np.maximum(weights[inexact, None], 1).astype(
            np.float64
        )
        masses = round_to_units(np.concatenate([kept, lost * share], axis=1))
        accepted[inexact] = masses[:, : thresholds.shape[1]]
        rejected[inexact] = masses[:, thresholds.shape[1] :]
    return accepted, rejected


def root_laws(target: Floats, draft: Floats, drafts: int, subtractions: int) -> tuple[Floats, Floats]:
    """Laws of the first position of a batch round, unnormalised recursion of 2411.00841, Algorithm 4.

    With c the probability that all candidates so far were rejected and U = c * (current target row), a
    candidate is accepted with law min(U, c D), and U becomes (U - c D)_+, whose sum is the new c.

    target, draft: rows, float64 of shape ``(rows, tokens)``.
    drafts: number of candidates.
    subtractions: `drafts`, or one more for the printed slip that subtracts the draft once more.
    Returns: together they sum to 1 in each row, up to rounding.
    """
    left = target.copy()
    rejection = np.ones((len(target), 1))
    accepted = np.zeros_like(left)
    for _ in range(drafts):
        taken = np.minimum(left, rejection * draft)
        accepted += taken
        left -= taken
        rejection = np.cumsum(left, axis=1)[:, -1:]
    if subtractions > drafts:
        left = np.maximum(left - rejection * draft, 0.0)
        mass = np.cumsum(left, axis=1)[:, -1:]
        left *= rejection / np.where(mass > 0, mass, 1.0)
    return accepted, left


def pack(masses: Words, bits: int) -> Indices:
    """Return alias tables for rows of integer masses, each with sum 2^32.

    masses: uint64 of shape ``(rows, atoms)``, at most ``2**bits`` atoms.
    bits: binary logarithm of the number of columns.
    """
    from specsim.engines.alias.kernels.build import build

    full = np.zeros((len(masses), 2**bits), np.uint64)
    full[:, : masses.shape[1]] = masses
    entries = np.empty(full.shape, np.uint32)
    bad = build(full, bits, entries, np.empty((2, 2**bits), np.uint32))
    if bad >= 0:
        raise RuntimeError(f"alias engine: the masses of row {bad} do not sum to 2^32; please report this")
    return entries


def unpack(entries: Indices, bits: int) -> Words:
    """Return the integer masses that alias tables hold: the inverse of `pack`, for checks."""
    rows, columns = entries.shape
    alias = (entries & np.uint32(columns - 1)).astype(np.int64)
    own = (entries >> np.uint32(bits)).astype(np.uint64)
    masses = own.copy()
    given = np.uint64(2 ** (32 - bits)) - own
    np.add.at(masses, (np.arange(rows)[:, None], alias), given)
    return masses


def byte_planes(entries: Indices, layout: Layout) -> NDArray[np.uint8]:
    """Return tables of at most 8 tokens as byte planes for `specsim.engines.alias.kernels.permute`.

    Returns: shape ``(steps or 1, 4 * 128)``, or ``(steps or 1, 4 * 256)`` with rows for first positions.
    """
    steps = len(entries)
    rooted = layout.root > 0
    contexts = layout.root or layout.rows
    rows = np.zeros((steps, 1 + rooted, 8, 16), np.uint32)
    rows[:, :, :contexts] = entries.reshape(steps, 1 + rooted, contexts, 16)
    words = rows.reshape(steps, -1)
    planes = [(words >> np.uint32(8 * plane)) & np.uint32(255) for plane in range(4)]
    return np.stack(planes, axis=1).astype(np.uint8).reshape(steps, -1)


def _parts(rows: int, bits: int) -> Iterator[slice]:
    """Split rows so that a part's scratch arrays stay small."""
    size = max(1, _SCRATCH_BYTES // (8 * 2**bits))
    return (slice(low, min(rows, low + size)) for low in range(0, rows, size))


def _pack_bank(thresholds: Words, residual: Words | None, bits: int, entries: Indices) -> None:
    """Pack rows given by thresholds and residual, or by weights of tokens that are never rejected."""
    for part in _parts(len(thresholds), bits):
        if residual is None:
            accepted, rejected = thresholds[part], np.zeros_like(thresholds[part])
        else:
            accepted, rejected = collapse(thresholds[part], residual[part])
        entries[part] = _pack_atoms(accepted, rejected, bits)


def _pack_atoms(accepted: Words, rejected: Words, bits: int) -> Indices:
    rows, tokens = accepted.shape
    masses = np.zeros((rows, 2**bits), np.uint64)
    masses[:, :tokens] = accepted
    masses[:, 2 ** (bits - 1) : 2 ** (bits - 1) + tokens] = rejected
    return pack(masses, bits)
