"""What the samplers of the zoo share: drawing from rows, reading tokens, and writing the result of a step.

None of it knows a law: the exact laws in ``rules`` share no code with this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Step = tuple[Integers, Integers]


def floats(rows: Any) -> Floats:
    """Return a float64 copy of the rows, so that the caller's stay as they are."""
    return np.array(rows, dtype=np.float64)


def at(rows: Floats, tokens: Integers) -> Floats:
    """Return the entry of each row at its token."""
    return np.take_along_axis(rows, tokens[..., None], axis=-1)[..., 0]


def draw(rows: Floats, coins: Floats) -> Integers:
    """Invert the distribution function of each row (any total) at its coin.

    Tokens of no mass are never drawn: a coin that rounding puts after the last step gets the last token that
    has mass.
    """
    steps = np.cumsum(rows, axis=-1)
    index = (steps <= coins[..., None] * steps[..., -1:]).sum(axis=-1)
    last = rows.shape[-1] - 1 - np.argmax(rows[..., ::-1] > 0, axis=-1)
    return np.minimum(index, last)


def quotient(target: Floats, draft: Floats) -> Floats:
    """Divide; infinite where only the draft is 0, and 0 where both are."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(draft > 0, target / draft, np.where(target > 0, np.inf, 0.0))


def gap(target: Floats, draft: Floats) -> Floats:
    """Return the positive part of target - draft, or the target where nothing is positive."""
    part = np.maximum(target - draft, 0.0)
    return np.where(part.sum(axis=-1, keepdims=True) > 0, part, target)


def without(rows: Floats, tokens: Integers) -> Floats:
    """Return the rows with their token's entry set to 0, or the rows where nothing is left."""
    kept = rows.copy()
    np.put_along_axis(kept, tokens[..., None], 0.0, axis=-1)
    return np.where(kept.sum(axis=-1, keepdims=True) > 0, kept, rows)


def finals(replacements: Floats, bonus: Floats) -> Floats:
    """Put the row of the bonus token ``(B, V)`` after the rows of the replacements ``(B, K, V)``."""
    return np.concatenate([replacements, bonus[:, None, :]], axis=1)


def emit(drafted: Integers, accepted: NDArray[np.bool_], last: Integers) -> Step:
    """Accept drafted tokens up to the first failed test, then append one more.

    Parameters
    ----------
    drafted
        Shape ``(B, K)``.
    accepted
        Results of the tests, shape ``(B, K)``.
    last
        For every number of accepted tokens, the token that would follow; shape ``(B, K + 1)``.
    """
    return emit_count(drafted, np.cumprod(accepted, axis=1).sum(axis=1), last)


def draft_tokens(models: Any, choose: Callable[[Floats], Integers]) -> tuple[Integers, Floats]:
    """Draft token by token; return the tokens ``(B, K)`` and the draft rows ``(B, K, V)``.

    Parameters
    ----------
    models
        Of the protocol draft-and-verify.
    choose
        From the rows of one position ``(B, V)``, the tokens ``(B,)``.
    """
    drafted = np.zeros((models.batch, 0), dtype=np.int64)
    rows = []
    for _ in range(models.draft_length):
        rows.append(floats(models.draft(drafted)))
        drafted = np.concatenate([drafted, choose(rows[-1])[:, None]], axis=1)
    return drafted, np.stack(rows, axis=1)


def emit_count(drafted: Integers, count: Integers, last: Integers) -> Step:
    """Append one more token to the first `count` drafted ones; see `emit`."""
    tokens = np.concatenate([drafted, np.full((len(drafted), 1), -1)], axis=1).astype(np.int64)
    np.put_along_axis(tokens, count[:, None], np.take_along_axis(last, count[:, None], axis=1), axis=1)
    return tokens, count.astype(np.int64) + 1


def filtered(
    rows: Floats, temperature: float | None = None, top_k: int | None = None, top_p: float | None = None
) -> Floats:
    """Apply temperature, then top-k, then top-p to rows of probabilities.

    Top-k keeps the k likeliest tokens and all that tie with the last of them; top-p the shortest run of
    likeliest tokens whose mass reaches `top_p`.
    """
    if temperature is not None:
        with np.errstate(divide="ignore"):
            logits = np.log(rows) / temperature
        top = logits.max(axis=-1, keepdims=True)
        rows = _normalised(np.exp(logits - np.where(np.isfinite(top), top, 0.0)))
    if top_k is not None and top_k < rows.shape[-1]:
        least = np.sort(rows, axis=-1)[..., -top_k, None]
        rows = _normalised(np.where(rows < least, 0.0, rows))
    if top_p is not None:
        order = np.argsort(-rows, axis=-1, kind="stable")
        ranked = np.take_along_axis(rows, order, axis=-1)
        ranked[np.cumsum(ranked, axis=-1) - ranked >= top_p] = 0.0
        kept = np.zeros_like(ranked)
        np.put_along_axis(kept, order, ranked, axis=-1)
        rows = _normalised(kept)
    return rows


def _normalised(rows: Floats) -> Floats:
    """Divide rows by their sums; padding, which is all 0, stays."""
    total = rows.sum(axis=-1, keepdims=True)
    return rows / np.where(total > 0, total, 1.0)


def to_bfloat16(values: Floats) -> Floats:
    """Round to the nearest bfloat16, ties to even, through the bits of float32."""
    bits = values.astype(np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return np.where(np.isfinite(values), rounded.view(np.float32), values).astype(np.float64)
