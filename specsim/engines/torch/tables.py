"""Tables of the torch engine: all rows of a step on one line of 64-bit numbers.

Row r takes the numbers from r 2^32 to (r + 1) 2^32 - 1 of a line, so that one search in a sorted list finds
the token of a 32-bit word in any row; `specsim.engines.lockstep.chain_tables` says why the same word may
then test and
replace. Residuals with their own words have wider weights, and rows that are searched one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from specsim.engines.lockstep.chain_tables import weights_of_rules
from specsim.engines.lockstep.plans import Plan
from specsim.engines.lockstep.tables import Words
from specsim.errors import TooLargeError
from specsim.pairs import ModelPair

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_SHIFT = np.uint64(31)
#: Bytes that building tables takes on the host beyond the tables, per cell.
_SCRATCH = 48
_MOST_ROWS = 2**31


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of the tables of a step.

    rows: one per context, and one more per context for bonus tokens where drafts are finite.
    bonus: first row for bonus tokens; 0 when there are none of their own.
    step_bytes: bytes of the tables of a step.
    scratch_bytes: bytes that building them takes on the host.
    """

    rows: int
    bonus: int
    step_bytes: int
    scratch_bytes: int

    @classmethod
    def of(cls, pair: ModelPair, plan: Plan) -> Sizes:
        """Work out the sizes."""
        with_bonus = plan.bonus and plan.draft_length > 0
        rows = pair.contexts * (1 + with_bonus)
        if rows >= _MOST_ROWS:
            raise TooLargeError(
                f"the pair has {pair.contexts} contexts, more than the torch engine can number; use fewer"
            )
        cells = rows * pair.tokens
        step_bytes = 8 * (cells * (4 if plan.shared else 3) + 2 * rows)
        if plan.root is not None:
            step_bytes += 8 * (pair.contexts * pair.tokens * plan.drafts + 2 * pair.contexts)
        scratch = _SCRATCH * cells
        if plan.root is not None:
            scratch += _SCRATCH * pair.contexts * pair.tokens * (1 + plan.subtractions)
        return cls(
            rows=rows,
            bonus=pair.contexts if with_bonus else 0,
            step_bytes=step_bytes,
            scratch_bytes=scratch + step_bytes,
        )


@dataclass(frozen=True, kw_only=True)
class Separate:
    """Residual rows that are drawn by their own 64-bit words.

    end: running sums of the weights, int64, all rows one after the other.
    total: their last ones, one per row.
    dropped: 2^64 modulo the total; 0 for an empty row.
    drops: whether a word may be dropped.
    """

    end: Tensor
    total: Tensor
    dropped: Tensor
    drops: bool


@dataclass(frozen=True, kw_only=True)
class StepTables:
    """Tables of one step, int64, all rows one after the other.

    start: first number of each token's segment of the draft line, and one more: the end of the line.
    accept: where words are shared: accepted numbers of the segment. Otherwise thresholds times 2^63.
    slide, residual: where words are shared: what leads from the offset of a rejected word to a number of the
        residual line, and the ends of that line's segments.
    separate: residuals where words are not shared.
    root_accept, root: thresholds of the later candidates of a root, first context first and first candidate
        first, and its residual.
    """

    start: Tensor
    accept: Tensor
    slide: Tensor | None = None
    residual: Tensor | None = None
    separate: Separate | None = None
    root_accept: Tensor | None = None
    root: Separate | None = None

    @property
    def drops(self) -> bool:
        """Whether a word may be dropped."""
        return any(rows is not None and rows.drops for rows in (self.separate, self.root))


def step_tables(pair: ModelPair, plan: Plan, step: int, device: torch.device) -> StepTables:
    """Build the tables of one step on the host and put them on a device."""
    sizes = Sizes.of(pair, plan)
    steps = np.array([step if plan.table_steps > 1 else 0])
    draft, accept, residual = weights_of_rules(pair, plan, sizes.bonus > 0, steps)
    line = np.arange(sizes.rows, dtype=np.int64)[:, None] << np.int64(32)
    found: dict[str, Any] = {}
    ends = np.cumsum(draft, axis=1, dtype=np.uint64).astype(np.int64)
    ends += line
    found["start"] = np.concatenate([np.zeros(1, np.int64), ends.ravel()])
    if plan.shared:
        accepted = accept >> _SHIFT
        lost = draft - accepted
        slide = np.cumsum(lost, axis=1, dtype=np.uint64).astype(np.int64)
        slide -= draft.astype(np.int64)
        found["slide"] = slide + line
        found["accept"] = accepted
        found["residual"] = np.cumsum(residual, axis=1, dtype=np.uint64).astype(np.int64) + line
    else:
        found["accept"] = accept
        found["separate"] = _separate(residual, device)
    if plan.root is not None:
        root_accept, root_residual = plan.root(steps)
        found["root_accept"] = root_accept
        found["root"] = _separate(root_residual, device)
    for name, value in found.items():
        if isinstance(value, np.ndarray):
            found[name] = _put(value, device)
    return StepTables(**found)


def _separate(weights: Words, device: torch.device) -> Separate:
    """Lay out rows of weights with any sums below 2^63."""
    ends = np.cumsum(weights, axis=1, dtype=np.uint64)
    total = ends[:, -1].copy()
    full = np.maximum(total, np.uint64(1))
    # 2^64 modulo n is (2^64 - n) modulo n.
    dropped = (np.uint64(0) - full) % full
    dropped[total == 0] = 0
    return Separate(
        end=_put(ends, device),
        total=_put(total, device),
        dropped=_put(dropped, device),
        drops=bool(dropped.any()),
    )


def _put(table: NDArray[Any], device: torch.device) -> Tensor:
    """Put a table of numbers below 2^63 on a device, as one row of int64."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(table).view(np.int64).reshape(-1)).to(device)
