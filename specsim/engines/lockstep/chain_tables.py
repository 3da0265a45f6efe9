"""Tables of the lockstep engine, and why one word may draft, test and replace.

Let P and Q be the draft and the target row as integers with sum 2^32, and u a uniform 32-bit word. With C
the sums of P over all tokens before, the drafted token is the x with ``C_x <= u < C_x + P_x``: its law is P
/ 2^32, and given x the offset ``v = u - C_x`` is uniform on 0 .. P_x - 1.

* *Test.* ``v < Q_x`` has probability min(1, Q_x / P_x) given x, the coin of Algorithm 1 (2411.00841): the
  joint law of x and the outcome of the test is the published one.
* *Replacement.* Given that the test fails, (x, v) is uniform on the pairs with ``Q_x <= v < P_x``, whose
  number is R, the sum of (P - Q)_+. With E the sums of (P - Q)_+ over all tokens before, ``E_x + v - Q_x``
  numbers these pairs from 0 to R - 1, and so is uniform on 0 .. R - 1. As P and Q have the same sum, the sum
  of (Q - P)_+ is R too, and the token in whose segment of the sums of (Q - P)_+ the number falls has the law
  norm((Q - P)_+).

So, given the rejection and everything at other positions, whose words are other words, the replacement has
its published law. It does depend on the rejected token x, of which the published algorithm draws it
independently; but x is discarded: it is neither emitted nor counted nor looked at again, so that the joint
law of everything observable is the published one.

Theorem 1 is not used. The token is drafted from P alone, the test looks at the drafted token, the
replacement is drawn from the residual row alone; that the three combine to the target is assumed nowhere,
and a wrong table shows. What is used is that the rejected weights and the residual weights have the same
sum.

Rules for which they have not (`OverAcceptance`, `RejectionBased`, the roots of batches) draw the replacement
by its own word. Their tests take up to 63 bits: the offset and, where it equals the upper bits of the
threshold, a second word. Every candidate of a batch has its own word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from specsim.engines.lockstep.plans import Plan
from specsim.engines.lockstep.tables import (
    Indices,
    Words,
    guide_bits,
    of_steps,
    residuals,
)
from specsim.errors import TooLargeError
from specsim.pairs import ModelPair

_SHIFT = np.uint64(31)
_MOST = np.uint64(2**32 - 1)
#: Places in a table of one step are numbered by 31 bits.
_MOST_CELLS = 2**31
_CELLS_AT_ONCE = 2**20


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Sizes of the tables of one step.

    token_bits: binary logarithm of the places per row, one per token.
    bits: binary logarithm of the guide cells per row.
    rows: one per context, and one more per context for bonus tokens where drafts are finite.
    bonus: first row for bonus tokens; 0 when there are none of their own.
    step_bytes: bytes of all tables of a step, scratch of building them included.
    """

    token_bits: int
    bits: int
    rows: int
    bonus: int
    step_bytes: int

    @property
    def steps_at_once(self) -> int:
        """Steps whose tables are built together, so that scratch memory is bounded."""
        return max(1, _CELLS_AT_ONCE // (self.rows << self.bits))

    @classmethod
    def of(cls, pair: ModelPair, plan: Plan) -> Layout:
        """Lay out the tables of a step.

        Small vocabularies get more cells per token, so that few cells hold three segments; large ones get
        fewer, so that guides do not crowd the rest out of the caches.
        """
        token_bits = max(1, int(pair.tokens - 1).bit_length())
        bits = token_bits + (4 if pair.tokens <= 16 else 3 if pair.tokens <= 256 else 2)
        with_bonus = plan.bonus and plan.draft_length > 0
        rows = pair.contexts * (1 + with_bonus)
        places, cells = 2**token_bits, 2**bits
        width = 8 * places + 4 * cells
        if plan.shared:
            width += 8 * places + 4 * cells
        else:
            width += 16 * pair.tokens + 4 * 2 ** guide_bits(pair.tokens)
        roots = 0
        if plan.root is not None:
            roots = 24 * places * plan.subtractions + 8 * pair.tokens + 4 * 2 ** guide_bits(pair.tokens)
        scratch = 64 * pair.tokens
        step_bytes = rows * width + pair.contexts * (roots + scratch)
        most = max(rows * cells, rows * places * (plan.drafts - 1))
        if most > _MOST_CELLS:
            raise TooLargeError(
                f"a table of one step would take {4 * most} bytes, more than {4 * _MOST_CELLS}; "
                "use fewer contexts, tokens or drafts"
            )
        return cls(
            token_bits=token_bits,
            bits=bits,
            rows=rows,
            bonus=pair.contexts if with_bonus else 0,
            step_bytes=step_bytes,
        )


class Arrays(NamedTuple):
    """Tables of some steps; the first axis is the step, or has length 1 to serve all.

    last, entries: guides of (token, accepted or rejected); see `specsim.engines.compiled.guides.build_rows`.
    slides, residual_last, residual_entries, residual_shifts: positions of rejected words and their guides,
        where the word is shared.
    accept, separate_end, separate_guide: thresholds times 2^63 and residuals with their own words, where it
        is not.
    root_cuts, root_accept, root_end, root_guide: the same for the later candidates of a root, and its
        residual.
    token_bits, bits, bonus, separate_bits: sizes, as in `Layout`; binary logarithm of the guide cells of
        residuals with their own words.
    """

    last: Indices
    entries: Indices
    slides: Indices
    residual_last: Indices
    residual_entries: Indices
    residual_shifts: Indices
    accept: Words
    separate_end: Words
    separate_guide: Indices
    root_cuts: Indices
    root_accept: Words
    root_end: Words
    root_guide: Indices
    token_bits: np.uint32
    bits: np.uint32
    bonus: np.uint32
    separate_bits: np.uint64


class ChainTables(NamedTuple):
    """Tables of the steps ``begin .. end - 1``, counted from 0."""

    begin: int
    end: int
    arrays: Arrays


def chain_tables(pair: ModelPair, plan: Plan, begin: int, end: int) -> ChainTables:
    """Build the tables of the steps ``begin .. end - 1``, step by step to bound the scratch memory."""
    from specsim.engines.compiled.guides import build_rows

    layout = Layout.of(pair, plan)
    steps = np.arange(begin, end) if plan.table_steps > 1 else np.zeros(1, np.intp)
    places = 2**layout.token_bits
    rooted = plan.root is not None

    def table(present: bool, *shape: int, kind: type = np.uint32) -> NDArray[Any]:
        return np.zeros((len(steps), *shape) if present else (1,) * (1 + len(shape)), kind)

    rows, tokens = layout.rows, pair.tokens
    later = rows * (plan.drafts - 1)
    wide = 2 ** guide_bits(tokens)
    tables = Arrays(
        last=table(True, rows, 2 * tokens + 1),
        entries=table(True, rows << layout.bits),
        slides=table(plan.shared, rows * places),
        residual_last=table(plan.shared, rows, tokens + 1),
        residual_entries=table(plan.shared, rows << layout.bits),
        residual_shifts=table(plan.shared, rows),
        accept=table(not plan.shared, rows, tokens, kind=np.uint64),
        separate_end=table(not plan.shared, rows, tokens, kind=np.uint64),
        separate_guide=table(not plan.shared, rows, wide),
        root_cuts=table(rooted and later > 0, later * places),
        root_accept=table(rooted and later > 0, later, tokens, kind=np.uint64),
        root_end=table(rooted, rows, tokens, kind=np.uint64),
        root_guide=table(rooted, rows, wide),
        token_bits=np.uint32(layout.token_bits),
        bits=np.uint32(layout.bits),
        bonus=np.uint32(layout.bonus),
        separate_bits=np.uint64(guide_bits(tokens)),
    )
    for low in range(0, len(steps), layout.steps_at_once):
        part = slice(low, low + layout.steps_at_once)
        draft, accept, residual = weights_of_rules(pair, plan, layout.bonus > 0, steps[part])
        accepted = accept >> _SHIFT

        def flat(table: NDArray[Any], *row: int, part: slice = part) -> NDArray[Any]:
            # A table that is not used has one place only.
            return table[part].reshape(-1, *row) if table.size > 1 else table.reshape((1,) * (1 + len(row)))

        build_rows(
            draft, accepted, residual, plan.shared, tables.token_bits, tables.bits,
            flat(tables.last, 2 * tokens + 1), flat(tables.entries, 2**layout.bits),
            flat(tables.slides, places), flat(tables.residual_last, tokens + 1),
            flat(tables.residual_entries, 2**layout.bits), flat(tables.residual_shifts),
            np.empty(2 * tokens, np.uint64),
        )  # fmt: skip
        if not plan.shared:
            tables.accept[part] = accept.reshape(-1, rows, tokens)
            separate = residuals(residual)
            tables.separate_end[part] = separate.end.reshape(-1, rows, tokens)
            tables.separate_guide[part] = separate.guide.reshape(-1, rows, wide)
        if plan.root is not None:
            root_accept, root_residual = plan.root(steps[part])
            root = residuals(root_residual)
            size = pair.contexts
            tables.root_end[part, :size] = root.end.reshape(-1, size, tokens)
            tables.root_guide[part, :size] = root.guide.reshape(-1, size, wide)
            if later:
                firsts = draft.reshape(-1, rows, tokens)[:, :size].reshape(-1, tokens)
                starts = np.cumsum(firsts, axis=1) - firsts
                candidates = plan.drafts - 1
                cuts = np.empty((len(starts), candidates, tokens), np.uint32)
                for number in range(candidates):
                    cut = root_accept[:, number] >> _SHIFT
                    cut += starts
                    cuts[:, number] = np.minimum(cut, _MOST, out=cut)
                first = size * candidates
                by_row = tables.root_accept[part, :first].reshape(-1, size, candidates, tokens)
                by_row[:] = root_accept.reshape(-1, size, candidates, tokens)
                padded = tables.root_cuts[part].reshape(-1, later, places)
                padded[:, :first, :tokens] = cuts.reshape(-1, first, tokens)
    return ChainTables(begin, end, tables)


def weights_of_rules(
    pair: ModelPair, plan: Plan, with_bonus: bool, steps: NDArray[np.intp]
) -> tuple[Words, Words, Words]:
    """Return draft weights, acceptance thresholds and residual weights of all rows of some steps.

    With `with_bonus`, rows for bonus tokens follow the others of a step; they, and all rows of plain
    decoding, draft from the target and accept everything.
    """
    target = of_steps(pair.target_weights, steps)
    parts = [target, target << _SHIFT, np.zeros_like(target)]
    if plan.draft_length > 0:
        rules = [of_steps(pair.draft_weights, steps), plan.thresholds(steps), plan.residual(steps)]
        if with_bonus:
            rules = [np.concatenate(both, axis=1) for both in zip(rules, parts, strict=True)]
        parts = rules
    draft, accept, residual = (np.ascontiguousarray(part).reshape(-1, pair.tokens) for part in parts)
    if plan.shared and not np.array_equal(residual.sum(axis=1), (draft - (accept >> _SHIFT)).sum(axis=1)):
        raise RuntimeError(
            "residual weights do not sum to the rejected ones, so that one word cannot serve both; "
            "the plan must have shared=False"
        )
    return draft, accept, residual
