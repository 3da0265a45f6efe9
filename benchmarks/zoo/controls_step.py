"""Right verification steps, written in the ways that were reported as wrong, or that look so."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.zoo.model import Control
from benchmarks.zoo.sampling import (
    Floats,
    Integers,
    Step,
    at,
    draw,
    emit,
    emit_count,
    filtered,
    finals,
    floats,
    gap,
    quotient,
    without,
)
from specsim.validation.conformance.rules.lossless import BLOCK, MATCH, ONE_HOT, RATIO
from specsim.validation.conformance.subjects import Subject


def _finite(rows: Floats, name: str) -> Floats:
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} has an entry that is not finite")
    return rows


def _coins(drafted: Integers, seed: int, coins: Any) -> tuple[Floats, Floats]:
    """Return coins for the tests ``(B, K)`` and for the last draw, the same after any number of tests."""
    batch, length = drafted.shape
    uniforms = np.random.default_rng(seed).random((batch, length + 1)) if coins is None else floats(coins)
    return uniforms[:, :-1], np.repeat(uniforms[:, -1:], length + 1, axis=1)


def _ends(drafted: Integers, draft_lengths: Any) -> Integers:
    if draft_lengths is None:
        return np.full(len(drafted), drafted.shape[1])
    return np.asarray(draft_lengths, dtype=np.int64)


def _emit_ragged(
    drafted: Integers, accepted: Any, ends: Integers, weights: Floats, target: Floats, last: Floats
) -> Step:
    """Stop at the first failed test or at the end of the row's own draft, with its own bonus row."""
    accepted = accepted & (np.arange(drafted.shape[1]) < ends[:, None])
    count = np.cumprod(accepted, axis=1).sum(axis=1)
    rows = finals(weights, target[:, -1])
    whole = count == ends
    rows[whole, ends[whole]] = target[whole, ends[whole]]
    return emit_count(drafted, count, draw(rows, last))


def ratio_step(
    target: Any,
    draft: Any,
    drafted: Any,
    seed: int,
    draft_lengths: Any = None,
    coins: Any = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Step:
    """Apply the ratio rule, with every option of the protocol."""
    target = filtered(_finite(floats(target), "target"), temperature, top_k, top_p)
    draft = filtered(_finite(floats(draft), "draft"), temperature, top_k, top_p)
    tests, last = _coins(drafted, seed, coins)
    accepted = tests < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    ends = _ends(drafted, draft_lengths)
    return _emit_ragged(drafted, accepted, ends, gap(target[:, :-1], draft), target, last)


def one_hot_step(
    target: Any,
    draft: Any,
    drafted: Any,
    seed: int,
    draft_lengths: Any = None,
    coins: Any = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Step:
    """Apply the one-hot rule, with every option of the protocol."""
    target = filtered(_finite(floats(target), "target"), temperature, top_k, top_p)
    tests, last = _coins(drafted, seed, coins)
    accepted = tests < at(target[:, :-1], drafted)
    ends = _ends(drafted, draft_lengths)
    return _emit_ragged(drafted, accepted, ends, without(target[:, :-1], drafted), target, last)


def fallback_step(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Apply the ratio rule, or without draft rows the one-hot rule."""
    if draft is None:
        return one_hot_step(target, None, drafted, seed)
    return ratio_step(target, draft, drafted, seed)


def match_step(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Draw from every target row; emit the draws up to the first that differs from its drafted token."""
    target = _finite(floats(target), "target")
    samples = draw(target, np.random.default_rng(seed).random(target.shape[:2]))
    return emit(drafted, samples[:, :-1] == drafted, samples)


def block_step(target: Any, draft: Any, drafted: Any, seed: int, coins: Any = None) -> Step:
    """Verify the block: every test is looked at, tokens before the last success stay."""
    target, draft = _finite(floats(target), "target"), _finite(floats(draft), "draft")
    batch, length = drafted.shape
    tests, last = _coins(drafted, seed, coins)
    ratios = quotient(at(target[:, :-1], drafted), at(draft, drafted))
    weight = np.ones(batch)
    count = np.zeros(batch, dtype=np.int64)
    rows = target.copy()
    for i in range(length + 1):
        if i > 0:
            weight = np.where(weight > 0, np.minimum(1.0, weight * ratios[:, i - 1]), 0.0)
        keep = weight
        if i < length:
            part = np.maximum(weight[:, None] * target[:, i] - draft[:, i], 0.0)
            mass = part.sum(axis=1)
            rest = mass + 1.0 - weight
            keep = np.where(rest > 0, mass / np.where(rest > 0, rest, 1.0), 1.0)
            rows[:, i] = np.where(mass[:, None] > 0, part, target[:, i])
        if i > 0:
            count = np.where(tests[:, i - 1] < keep, i, count)
    return emit_count(drafted, count, draw(rows, last))


def no_bonus_step(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Apply the ratio rule and leave the bonus token to the next step."""
    tokens, lengths = ratio_step(target, draft, drafted, seed)
    return tokens, np.minimum(lengths, drafted.shape[1])


def first_token_only(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Ignore the drafts and emit one token of the target's."""
    target = _finite(floats(target), "target")
    last = draw(target, np.random.default_rng(seed).random(target.shape[:2]))
    return emit(drafted, np.zeros(drafted.shape, dtype=bool), last)


def ratio_from_logits(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Take logits of any offset; draw with fresh Gumbel noise, test in logarithms."""
    target, draft = floats(target), floats(draft)
    for name, rows in (("target", target), ("draft", draft)):
        if np.isnan(rows).any() or np.isposinf(rows).any():
            raise ValueError(f"{name} has a logit that is NaN or infinite")
    generator = np.random.default_rng(seed)
    target = target - _log_sum(target)
    draft = draft - _log_sum(draft)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = at(target[:, :-1], drafted) - at(draft, drafted)
        accepted = np.log(generator.random(drafted.shape)) < difference
        weights = np.log(gap(np.exp(target[:, :-1]), np.exp(draft)))
    scores = finals(weights, target[:, -1])
    last = (scores + generator.gumbel(size=scores.shape)).argmax(axis=-1)
    return emit(drafted, accepted, last)


def _log_sum(logits: Floats) -> Floats:
    top = logits.max(axis=-1, keepdims=True)
    total: Floats = top + np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))
    return total


def coins_by_row(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Give every row a generator of its own, so that its output does not depend on the rest of the batch."""
    length = drafted.shape[1]
    coins = np.stack(
        [
            np.random.Generator(np.random.Philox(key=[seed, row])).random(length + 1)
            for row in range(len(drafted))
        ]
    )
    return ratio_step(target, draft, drafted, seed, coins=coins)


def _control(name: str, description: str, source: str, run: Any, **fields: Any) -> Control:
    subject = Subject(name=name, protocol="step", run=run, **fields)
    return Control(name=name, description=description, source=source, subject=subject)


_ALL = frozenset({"draft_lengths", "coins", "temperature", "top_k", "top_p"})

CONTROLS = (
    _control(
        "ratio",
        "the published rule, with every option",
        "2211.17192, Algorithm 1; 2302.01318, Algorithm 2",
        ratio_step,
        rule=RATIO,
        options=_ALL,
    ),
    _control(
        "one-hot",
        "the draft's probability is never used, whatever law the drafts have",
        "SafeAILab/EAGLE#329; SafeAILab/EAGLE#221",
        one_hot_step,
        rule=ONE_HOT,
        draft="optional",
        options=_ALL,
    ),
    _control(
        "one-hot-never",
        "the one-hot rule for drafts that have no law at all",
        "SafeAILab/EAGLE#93",
        one_hot_step,
        rule=ONE_HOT,
        draft="never",
    ),
    _control(
        "one-hot-fallback",
        "silently slower without draft rows: the one-hot rule takes over",
        "vllm-project/vllm#44869",
        fallback_step,
        draft="optional",
    ),
    _control(
        "match",
        "a draft is accepted when it equals a draw from the target, which is emitted in any case",
        "z-lab/dflash#74; ml-explore/mlx-swift-lm#459; lablup/mlxcel#992",
        match_step,
        rule=MATCH,
        draft="optional",
    ),
    _control(
        "block",
        "tokens after a failed test are kept when a later test succeeds",
        "2403.10444, Algorithm 2; vllm-project/vllm-ascend#11985",
        block_step,
        rule=BLOCK,
    ),
    _control(
        "no-bonus",
        "a whole accepted draft is emitted without a bonus token",
        "2411.00841, Algorithm 2",
        no_bonus_step,
    ),
    _control(
        "first-token-only",
        "nothing is ever accepted: lossless and useless",
        "vllm-project/vllm#21278, speculation without a gain",
        first_token_only,
        draft="optional",
    ),
    _control(
        "ratio-from-logits",
        "logits of any offset, tests in logarithms, Gumbel noise that no one else uses",
        "vllm-project/vllm#46665, as it should be",
        ratio_from_logits,
        rule=RATIO,
        inputs="logits",
    ),
    _control(
        "coins-by-row",
        "every row has a generator of its own",
        "vllm-project/vllm#35398, as it should be",
        coins_by_row,
        rule=RATIO,
    ),
)
