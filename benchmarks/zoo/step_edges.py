"""Verification steps that fail at zeros, NaN and coins at the ends, or write to their inputs (class 8)."""

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
    without,
)
from specsim.validation.conformance.rules import bugs, row_bugs
from specsim.validation.conformance.rules.lossless import ONE_HOT


def _coins(drafted: Integers, seed: int, coins: Any) -> Floats:
    if coins is not None:
        return floats(coins)
    return np.random.default_rng(seed).random((len(drafted), drafted.shape[1] + 1))


def _repeated(last: Floats, length: int) -> Floats:
    """Use the last coin for whatever is drawn last."""
    return np.repeat(last[:, None], length + 1, axis=1)


def coin_zero_accepts(target: Any, draft: Any, drafted: Any, seed: int, coins: Any = None) -> Step:
    """Compare with <=, so that a coin of 0 accepts a token of no mass."""
    target, draft = floats(target), floats(draft)
    uniforms = _coins(drafted, seed, coins)
    accepted = uniforms[:, :-1] * at(draft, drafted) <= at(target[:, :-1], drafted)
    rows = finals(gap(target[:, :-1], draft), target[:, -1])
    return emit(drafted, accepted, draw(rows, _repeated(uniforms[:, -1], drafted.shape[1])))


def last_id_at_one(target: Any, draft: Any, drafted: Any, seed: int, coins: Any = None) -> Step:
    """Invert in float32 and let a coin that is rounded to 1 fall to the last id."""
    target, draft = floats(target), floats(draft)
    uniforms = _coins(drafted, seed, coins)
    accepted = uniforms[:, :-1] < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    rows = finals(gap(target[:, :-1], draft), target[:, -1]).astype(np.float32)
    steps = np.cumsum(rows, axis=-1)
    level = uniforms[:, -1:].astype(np.float32) * steps[..., -1]
    last = np.minimum((steps <= level[..., None]).sum(axis=-1), rows.shape[-1] - 1)
    return emit(drafted, accepted, last)


def nan_draft_token_0(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Drop NaN in a maximum: a NaN draft row leaves scores that are all 0, and token 0 wins."""
    target, draft = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    ratios = quotient(at(target[:, :-1], drafted), at(draft, drafted))
    ratios = np.where(np.isnan(at(draft, drafted)), np.nan, ratios)
    accepted = generator.random(drafted.shape) < ratios
    weights = finals(np.fmax(target[:, :-1] - draft, 0.0), target[:, -1])
    scores = weights / generator.standard_exponential(weights.shape)
    return emit(drafted, accepted, scores.argmax(axis=-1))


def nan_target_id_v(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Count the steps that are not above the coin: at NaN all of them, so that the id is V."""
    target, draft = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    with np.errstate(invalid="ignore"):
        ratios = quotient(at(target[:, :-1], drafted), at(draft, drafted))
        ratios = np.where(np.isnan(at(target[:, :-1], drafted)), np.nan, ratios)
        accepted = generator.random(drafted.shape) < ratios
        part = np.maximum(target[:, :-1] - draft, 0.0)
        part = np.where(part.sum(axis=-1, keepdims=True) == 0, target[:, :-1], part)
        steps = np.cumsum(finals(part, target[:, -1]), axis=-1)
        above = steps > generator.random(steps.shape[:2])[..., None] * steps[..., -1:]
    return emit(drafted, accepted, (~above).sum(axis=-1))


def capped_ratio(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Never accept for sure; where rows are equal nothing is left to replace a token, and 0 is emitted."""
    target, draft = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    ratios = quotient(at(target[:, :-1], drafted), at(draft, drafted))
    accepted = generator.random(drafted.shape) < np.minimum(ratios, 0.99)
    part = np.maximum(target[:, :-1] - draft, 0.0)
    part[..., 0] += part.sum(axis=-1) == 0
    rows = finals(part, target[:, -1])
    return emit(drafted, accepted, draw(rows, generator.random(rows.shape[:2])))


def zeroed_in_place(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Prepare the recovery by zeroing drafted tokens in the caller's rows, then test with these rows."""
    generator = np.random.default_rng(seed)
    rows = np.asarray(target)
    kept = without(floats(target)[:, :-1], drafted)
    batch, length = drafted.shape
    rows[np.arange(batch)[:, None], np.arange(length), drafted] = 0.0
    accepted = generator.random(drafted.shape) < at(rows[:, :-1], drafted)
    last = finals(kept, floats(rows[:, -1]))
    return emit(drafted, accepted, draw(last, generator.random(last.shape[:2])))


def residual_in_place(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Apply the right rule, and leave the residual in the caller's draft rows."""
    rows, drafts = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < quotient(at(rows[:, :-1], drafted), at(drafts, drafted))
    weights = gap(rows[:, :-1], drafts)
    np.asarray(draft)[...] = weights
    last = finals(weights, rows[:, -1])
    return emit(drafted, accepted, draw(last, generator.random(last.shape[:2])))


def drafted_overwritten(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Apply the right rule, and write its last token over the caller's drafted ones."""
    rows, drafts = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < quotient(at(rows[:, :-1], drafted), at(drafts, drafted))
    last = finals(gap(rows[:, :-1], drafts), rows[:, -1])
    count = np.cumprod(accepted, axis=1).sum(axis=1)
    tokens, lengths = emit_count(drafted, count, draw(last, generator.random(last.shape[:2])))
    np.asarray(drafted)[...] = tokens[:, :-1]
    return tokens, lengths


def _edge(
    name: str, description: str, cite: str, run: Any, killed_by: tuple[str, ...], **fields: Any
) -> Mutant:
    bug_class = fields.pop("bug_class", bugs.EDGES)
    return mutant_of(run, bug_class, cite, killed_by, name=name, description=description, **fields)


_COINS: dict[str, Any] = {"options": frozenset({"coins"})}

MUTANTS = (
    _edge(
        "coin-zero-accepts",
        "a coin of 0 accepts a token of no target mass",
        "sgl-project/sglang#35771",
        coin_zero_accepts,
        ("forced-coins",),
        **_COINS,
    ),
    _edge(
        "last-id-at-one",
        "a coin just below 1 draws the last id even where it has no mass",
        "sgl-project/sglang#22643",
        last_id_at_one,
        ("forced-coins",),
        **_COINS,
    ),
    _edge(
        "nan-draft-token-0",
        "a draft row of NaN makes token 0 the replacement, be it the rejected one",
        "vllm-project/vllm#41834",
        nan_draft_token_0,
        ("not-finite",),
    ),
    _edge(
        "nan-target-id-v",
        "a target row of NaN emits an id that is the size of the vocabulary",
        "vllm-project/vllm#53029; vllm-project/vllm#45060",
        nan_target_id_v,
        ("not-finite",),
    ),
    mutant_of_law(capped_ratio, bugs.CAPPED_RATIO, ("equal-rows",)),
    mutant_of_law(
        zeroed_in_place,
        row_bugs.zeroed_in_place,
        ("untouched-inputs", "joint-law"),
        rule=ONE_HOT,
        draft="optional",
    ),
    _edge(
        "residual-in-place",
        "the caller's draft rows are overwritten by the residual",
        "vllm-project/vllm#16952",
        residual_in_place,
        ("untouched-inputs",),
        bug_class=row_bugs.OVERWRITTEN,
    ),
    _edge(
        "drafted-overwritten",
        "the caller's drafted tokens are overwritten by the emitted ones",
        "easily made: an output buffer that is the input; compare vllm-project/vllm-ascend#2881",
        drafted_overwritten,
        ("untouched-inputs",),
        bug_class=row_bugs.OVERWRITTEN,
    ),
)
