"""Verification steps that replace rejected tokens by the wrong law (class 2)."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.zoo.model import mutant_of_law
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
    to_bfloat16,
    without,
)
from specsim.validation.conformance.rules import block_bugs, bugs
from specsim.validation.conformance.rules.lossless import BLOCK, ONE_HOT

SEEN = ("residual", "joint-law")


def _ratio_step(target: Floats, draft: Floats, drafted: Integers, replacements: Floats, seed: int) -> Step:
    """Test by the ratio; draw replacements from the given rows and the bonus token from the target."""
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    last = draw(finals(replacements, target[:, -1]), generator.random((len(drafted), drafted.shape[1] + 1)))
    return emit(drafted, accepted, last)


def recovery_from_target(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Replace a rejected token by a draw from the target."""
    target, draft = floats(target), floats(draft)
    return _ratio_step(target, draft, drafted, target[:, :-1], seed)


def recovery_excess(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Subtract the wrong way round."""
    target, draft = floats(target), floats(draft)
    return _ratio_step(target, draft, drafted, gap(draft, target[:, :-1]), seed)


def recovery_distance(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Take the absolute value of the difference."""
    target, draft = floats(target), floats(draft)
    weights = np.abs(target[:, :-1] - draft)
    weights = np.where(weights.sum(axis=-1, keepdims=True) > 0, weights, target[:, :-1])
    return _ratio_step(target, draft, drafted, weights, seed)


def ratio_without_rejected(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Only take the rejected token out of the target."""
    target, draft = floats(target), floats(draft)
    return _ratio_step(target, draft, drafted, without(target[:, :-1], drafted), seed)


def recovery_log_ratio(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Compute the residual from bfloat16 logits of size 20, without log1p."""
    target, draft = floats(target), floats(draft)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_target = to_bfloat16(np.log(target[:, :-1]) + 20.0)
        log_draft = to_bfloat16(np.log(draft) + 20.0)
        left = to_bfloat16(1.0 - to_bfloat16(np.exp(log_draft - log_target)))
        weights = np.where(left > 0, np.exp(log_target) * left, 0.0)
    weights = np.where(weights.sum(axis=-1, keepdims=True) > 0, weights, target[:, :-1])
    return _ratio_step(target, draft, drafted, weights, seed)


def residual_clamped(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Clamp the residual from below, so that tokens of no mass are drawn now and then."""
    target, draft = floats(target), floats(draft)
    return _ratio_step(target, draft, drafted, np.maximum(target[:, :-1] - draft, 1e-3), seed)


def one_hot_gap(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Test as if drafts were one-hot, replace as if they were sampled."""
    target, draft = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < at(target[:, :-1], drafted)
    rows = finals(gap(target[:, :-1], draft), target[:, -1])
    return emit(drafted, accepted, draw(rows, generator.random(rows.shape[:2])))


def _longest(tests: Any) -> Integers:
    """Return the number of the last test that succeeds (from 1), or 0."""
    length = tests.shape[1]
    found: Integers = np.where(tests, np.arange(1, length + 1), 0).max(axis=1)
    return found


def block_plain_residual(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Keep the longest prefix whose product of ratios passes; replace by the residual of one token."""
    target, draft = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    ratios = quotient(at(target[:, :-1], drafted), at(draft, drafted))
    weight = np.ones(len(drafted))
    tests = np.zeros(drafted.shape, dtype=bool)
    for i in range(drafted.shape[1]):
        weight = np.minimum(1.0, weight * ratios[:, i])
        tests[:, i] = generator.random(len(drafted)) < weight
    rows = finals(gap(target[:, :-1], draft), target[:, -1])
    return emit_count(drafted, _longest(tests), draw(rows, generator.random(rows.shape[:2])))


def block_one_hot(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Keep the longest prefix by the product of target probabilities, as if the draft's were all 1."""
    target = floats(target)
    generator = np.random.default_rng(seed)
    product = np.cumprod(at(target[:, :-1], drafted), axis=1)
    tests = generator.random(drafted.shape) < product
    rows = finals(without(target[:, :-1], drafted), target[:, -1])
    return emit_count(drafted, _longest(tests), draw(rows, generator.random(rows.shape[:2])))


MUTANTS = (
    mutant_of_law(recovery_from_target, bugs.recovery_from_target, SEEN),
    mutant_of_law(recovery_excess, bugs.recovery_excess, SEEN),
    mutant_of_law(recovery_distance, bugs.recovery_distance, SEEN),
    mutant_of_law(ratio_without_rejected, bugs.ratio_without_rejected, SEEN),
    mutant_of_law(recovery_log_ratio, bugs.recovery_log_ratio, ("residual",)),
    mutant_of_law(residual_clamped, bugs.RESIDUAL_CLAMPED, ("zero-mass",)),
    mutant_of_law(one_hot_gap, bugs.one_hot_gap, SEEN, rule=ONE_HOT),
    mutant_of_law(block_plain_residual, block_bugs.block_plain_residual, ("joint-law",), rule=BLOCK),
    mutant_of_law(block_one_hot, block_bugs.block_one_hot, ("joint-law",), rule=ONE_HOT, draft="optional"),
)
