"""Verification steps that read the rows of another position or request (classes 6, 9 and 10)."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.zoo.model import Mutant, mutant_of, mutant_of_law
from benchmarks.zoo.sampling import (
    Floats,
    Integers,
    Step,
    at,
    draw,
    emit,
    emit_count,
    finals,
    floats,
    gap,
    quotient,
)
from specsim.validation.conformance.rules import bugs, row_bugs
from specsim.validation.conformance.rules.lossless import MATCH

BATCH = "10 batch, padding"


def _step(tested: Floats, draft: Floats, bonus: Floats, drafted: Integers, seed: int) -> Step:
    """Apply the ratio rule to target rows ``(B, K, V)``, draft rows ``(B, K, V)``, bonus rows ``(B, V)``."""
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < quotient(at(tested, drafted), at(draft, drafted))
    rows = finals(gap(tested, draft), bonus)
    return emit(drafted, accepted, draw(rows, generator.random(rows.shape[:2])))


def target_row_after(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Read target rows one too far."""
    target = floats(target)
    return _step(target[:, 1:], floats(draft), target[:, -1], drafted, seed)


def target_row_before(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Read target rows one too early, the first one twice."""
    target = floats(target)
    tested = np.concatenate([target[:, :1], target[:, :-2]], axis=1)
    return _step(tested, floats(draft), target[:, -1], drafted, seed)


def draft_row_after(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Read draft rows one too far, the last one twice."""
    target, draft = floats(target), floats(draft)
    moved = np.concatenate([draft[:, 1:], draft[:, -1:]], axis=1)
    return _step(target[:, :-1], moved, target[:, -1], drafted, seed)


def first_row(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Read the first target row at every position."""
    target = floats(target)
    tested = np.repeat(target[:, :1], drafted.shape[1], axis=1)
    return _step(tested, floats(draft), target[:, -1], drafted, seed)


def draft_rows_reversed(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Read the draft rows backwards."""
    target = floats(target)
    return _step(target[:, :-1], floats(draft)[:, ::-1], target[:, -1], drafted, seed)


def recovery_row_after(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Drop the draw that told of a mismatch and emit the one after it."""
    target = floats(target)
    samples = draw(target, np.random.default_rng(seed).random(target.shape[:2]))
    last = np.concatenate([samples[:, 1:], samples[:, -1:]], axis=1)
    return emit(drafted, samples[:, :-1] == drafted, last)


def bonus_from_draft(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Draw the bonus token from the draft."""
    target, draft = floats(target), floats(draft)
    return _step(target[:, :-1], draft, draft[:, -1], drafted, seed)


def bonus_row_before(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Draw the bonus token from the row of the last drafted one."""
    target = floats(target)
    return _step(target[:, :-1], floats(draft), target[:, -2], drafted, seed)


def bonus_residual(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Subtract the last draft row from the bonus row too."""
    target, draft = floats(target), floats(draft)
    return _step(target[:, :-1], draft, gap(target[:, -1], draft[:, -1]), drafted, seed)


def bonus_unwritten(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Count a bonus token and leave its place as it was, 0."""
    target = floats(target)
    tokens, lengths = _step(target[:, :-1], floats(draft), target[:, -1], drafted, seed)
    tokens[lengths == drafted.shape[1] + 1, -1] = 0
    return tokens, lengths


def bonus_penalty(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Make tokens of the draft less likely, but only where the bonus token is drawn."""
    target = floats(target)
    last = target[:, -1].copy()
    for b, tokens in enumerate(drafted):
        for token in {int(token) for token in tokens}:
            last[b, token] *= 0.9
    return _step(target[:, :-1], floats(draft), last, drafted, seed)


def target_of_next_request(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Read the target rows of the next row of the batch."""
    target = np.roll(floats(target), -1, axis=0)
    return _step(target[:, :-1], floats(draft), target[:, -1], drafted, seed)


def draft_of_next_request(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Read the draft rows of the next row of the batch."""
    target = floats(target)
    return _step(target[:, :-1], np.roll(floats(draft), -1, axis=0), target[:, -1], drafted, seed)


def bonus_of_first_request(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Draw all bonus tokens from the bonus row of the first request."""
    target = floats(target)
    bonus = np.broadcast_to(target[:1, -1], target[:, -1].shape)
    return _step(target[:, :-1], floats(draft), bonus, drafted, seed)


def third_request_on(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Read the draft rows of the first two requests only."""
    target = floats(target)
    draft = floats(draft)[np.arange(len(drafted)) % 2]
    return _step(target[:, :-1], draft, target[:, -1], drafted, seed)


def rows_swapped(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Verify in an order of one's own, and hand the last tokens back in that order."""
    target = floats(target)
    tokens, lengths = _step(target[:, :-1], floats(draft), target[:, -1], drafted, seed)
    rows = np.arange(len(drafted))
    final = tokens[rows, lengths - 1]
    tokens[rows, lengths - 1] = final[::-1]
    return tokens, lengths


def padding_verified(target: Any, draft: Any, drafted: Any, seed: int, draft_lengths: Any = None) -> Step:
    """Verify padding too: its id -1 reads the last token of a row of zeros, and no quotient is refused."""
    target, draft = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    own, drafts = at(target[:, :-1], drafted), at(draft, drafted)
    accepted = generator.random(drafted.shape) * drafts <= own
    rows = finals(gap(target[:, :-1], draft), target[:, -1])
    return emit(drafted, accepted, draw(rows, generator.random(rows.shape[:2])))


def ragged_bonus_at_end(target: Any, draft: Any, drafted: Any, seed: int, draft_lengths: Any = None) -> Step:
    """Stop at the end of each row's draft, but read the bonus row at the end of the longest."""
    target, draft = floats(target), floats(draft)
    batch, length = drafted.shape
    ends = np.full(batch, length) if draft_lengths is None else np.asarray(draft_lengths)
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    accepted &= np.arange(length) < ends[:, None]
    count = np.cumprod(accepted, axis=1).sum(axis=1)
    rows = finals(gap(target[:, :-1], draft), target[:, -1])
    # The longest draft of the batch says where every bonus row is.
    whole = count == ends
    rows[whole, count[whole]] = target[whole, int(ends.max())]
    return emit_count(drafted, count, draw(rows, generator.random(rows.shape[:2])))


def ragged_draft_rows_packed(
    target: Any, draft: Any, drafted: Any, seed: int, draft_lengths: Any = None
) -> Step:
    """Store draft rows one after the other without padding, and read them as if they were padded."""
    target, draft = floats(target), floats(draft)
    batch, length = drafted.shape
    ends = np.full(batch, length) if draft_lengths is None else np.asarray(draft_lengths)
    given = np.arange(length) < ends[:, None]
    packed = np.zeros((batch * length, draft.shape[-1]))
    packed[: int(ends.sum())] = draft[given]
    draft = packed.reshape(draft.shape)
    generator = np.random.default_rng(seed)
    ratios = quotient(at(target[:, :-1], drafted), at(draft, drafted))
    accepted = given & (generator.random(drafted.shape) < ratios)
    rows = finals(gap(target[:, :-1], draft), target[:, -1])
    whole = np.cumprod(accepted, axis=1).sum(axis=1) == ends
    rows[whole, ends[whole]] = target[whole, ends[whole]]
    return emit(drafted, accepted, draw(rows, generator.random(rows.shape[:2])))


def _batch_mutant(
    name: str, description: str, cite: str, run: Any, killed_by: tuple[str, ...], **fields: Any
) -> Mutant:
    return mutant_of(run, BATCH, cite, killed_by, name=name, description=description, **fields)


_RAGGED: dict[str, Any] = {"options": frozenset({"draft_lengths"})}

MUTANTS = (
    mutant_of_law(target_row_after, row_bugs.target_row_after, ("acceptance", "joint-law")),
    mutant_of_law(target_row_before, row_bugs.target_row_before, ("acceptance", "joint-law")),
    mutant_of_law(draft_row_after, row_bugs.draft_row_after, ("acceptance", "joint-law")),
    mutant_of_law(first_row, row_bugs.first_row, ("acceptance", "joint-law")),
    mutant_of_law(draft_rows_reversed, row_bugs.draft_rows_reversed, ("acceptance", "joint-law")),
    mutant_of_law(
        recovery_row_after,
        row_bugs.recovery_row_after,
        ("residual", "joint-law"),
        rule=MATCH,
        draft="optional",
    ),
    mutant_of_law(bonus_from_draft, bugs.bonus_from_draft, ("bonus",)),
    mutant_of_law(bonus_row_before, bugs.bonus_row_before, ("bonus",)),
    mutant_of_law(bonus_residual, bugs.bonus_residual, ("bonus",)),
    mutant_of_law(bonus_unwritten, bugs.bonus_unwritten, ("bonus",)),
    mutant_of_law(bonus_penalty, bugs.bonus_penalty, ("bonus",)),
    _batch_mutant(
        "target-of-next-request",
        "a row is verified with the target rows of the next row of the batch",
        "NVIDIA/TensorRT-LLM#17890",
        target_of_next_request,
        ("batch-rows",),
    ),
    _batch_mutant(
        "draft-of-next-request",
        "a row is verified with the draft rows of the next row of the batch",
        "NVIDIA/TensorRT-LLM#12588",
        draft_of_next_request,
        ("batch-rows",),
    ),
    _batch_mutant(
        "bonus-of-first-request",
        "all bonus tokens of a batch are drawn from the first request's row",
        "vllm-project/vllm#35398, a tensor per request read as one per token",
        bonus_of_first_request,
        ("batch-rows",),
    ),
    _batch_mutant(
        "third-request-on",
        "from the third row of a batch on, the draft rows of the first two are read",
        "1CatAI/1Cat-vLLM#656",
        third_request_on,
        ("batch-rows", "sizes"),
    ),
    _batch_mutant(
        "rows-swapped",
        "the last tokens are handed back in another order than the rows",
        "eBay/spec_dec; 2510.22876, rows out of step",
        rows_swapped,
        ("batch-rows",),
    ),
    _batch_mutant(
        "padding-verified",
        "the padding of shorter drafts is verified and accepted",
        "flashinfer-ai/flashinfer#879",
        padding_verified,
        ("ragged",),
        **_RAGGED,
    ),
    _batch_mutant(
        "ragged-bonus-at-end",
        "a shorter draft takes its bonus token from the row after the longest draft",
        "eBay/spec_dec; 2510.22876, ragged batches",
        ragged_bonus_at_end,
        ("ragged",),
        **_RAGGED,
    ),
    _batch_mutant(
        "ragged-draft-rows-packed",
        "draft rows are packed without padding and read as if they had it",
        "vllm-project/vllm#35398; NVIDIA/TensorRT-LLM#12588",
        ragged_draft_rows_packed,
        ("ragged",),
        **_RAGGED,
    ),
)
