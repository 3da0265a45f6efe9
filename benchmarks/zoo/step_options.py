"""Verification steps that apply temperature, top-k or top-p to one side, or twice (class 5)."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.zoo.model import Mutant, mutant_of
from benchmarks.zoo.sampling import (
    Floats,
    Integers,
    Step,
    at,
    draw,
    emit,
    filtered,
    finals,
    floats,
    gap,
    quotient,
)

PARAMETERS = "5 parameters, history"


def _step(target: Floats, draft: Floats, drafted: Integers, seed: int) -> Step:
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    rows = finals(gap(target[:, :-1], draft), target[:, -1])
    return emit(drafted, accepted, draw(rows, generator.random(rows.shape[:2])))


def temperature_target_ignored(
    target: Any, draft: Any, drafted: Any, seed: int, temperature: float | None = None
) -> Step:
    """Leave the target at temperature 1."""
    return _step(floats(target), filtered(floats(draft), temperature), drafted, seed)


def temperature_draft_ignored(
    target: Any, draft: Any, drafted: Any, seed: int, temperature: float | None = None
) -> Step:
    """Leave the draft at temperature 1."""
    return _step(filtered(floats(target), temperature), floats(draft), drafted, seed)


def temperature_twice(
    target: Any, draft: Any, drafted: Any, seed: int, temperature: float | None = None
) -> Step:
    """Divide the target's logits by the temperature twice."""
    once = filtered(floats(target), temperature)
    return _step(filtered(once, temperature), filtered(floats(draft), temperature), drafted, seed)


def bonus_without_temperature(
    target: Any, draft: Any, drafted: Any, seed: int, temperature: float | None = None
) -> Step:
    """Draw the bonus token at temperature 1."""
    raw = floats(target)
    rows = filtered(raw, temperature)
    rows[:, -1] = raw[:, -1]
    return _step(rows, filtered(floats(draft), temperature), drafted, seed)


def top_p_skipped(target: Any, draft: Any, drafted: Any, seed: int, top_p: float | None = None) -> Step:
    """Verify against the whole target row."""
    return _step(floats(target), filtered(floats(draft), top_p=top_p), drafted, seed)


def top_p_not_normalised(
    target: Any, draft: Any, drafted: Any, seed: int, top_p: float | None = None
) -> Step:
    """Cut the target's tail and leave what is kept as it was."""
    raw = floats(target)
    cut = np.where(filtered(raw, top_p=top_p) > 0, raw, 0.0)
    return _step(cut, filtered(floats(draft), top_p=top_p), drafted, seed)


def top_k_on_draft_only(target: Any, draft: Any, drafted: Any, seed: int, top_k: int | None = None) -> Step:
    """Filter the draft and not the target."""
    return _step(floats(target), filtered(floats(draft), top_k=top_k), drafted, seed)


def top_k_one_more(target: Any, draft: Any, drafted: Any, seed: int, top_k: int | None = None) -> Step:
    """Keep one token too many on both sides of the test."""
    more = None if top_k is None else top_k + 1
    return _step(filtered(floats(target), top_k=more), filtered(floats(draft), top_k=more), drafted, seed)


def low_temperature_greedy(
    target: Any, draft: Any, drafted: Any, seed: int, temperature: float | None = None
) -> Step:
    """Take the target's likeliest token at temperatures below 0.3."""
    rows = filtered(floats(target), temperature)
    if temperature is not None and temperature < 0.3:
        rows = np.eye(rows.shape[-1])[rows.argmax(axis=-1)]
    return _step(rows, filtered(floats(draft), temperature), drafted, seed)


def lowest_temperature_greedy(
    target: Any, draft: Any, drafted: Any, seed: int, temperature: float | None = None
) -> Step:
    """Take the target's likeliest token at temperatures below 0.15."""
    rows = filtered(floats(target), temperature)
    if temperature is not None and temperature < 0.15:
        rows = np.eye(rows.shape[-1])[rows.argmax(axis=-1)]
    return _step(rows, filtered(floats(draft), temperature), drafted, seed)


def top_k_of_32(target: Any, draft: Any, drafted: Any, seed: int, top_k: int | None = None) -> Step:
    """Have room for 32 candidates of the target, whatever top-k is."""
    kept = None if top_k is None else min(top_k, 32)
    return _step(filtered(floats(target), top_k=kept), filtered(floats(draft), top_k=top_k), drafted, seed)


def temperature_at_least_half(
    target: Any, draft: Any, drafted: Any, seed: int, temperature: float | None = None
) -> Step:
    """Raise temperatures below 0.5 of the target."""
    raised = None if temperature is None else max(temperature, 0.5)
    return _step(filtered(floats(target), raised), filtered(floats(draft), temperature), drafted, seed)


def top_k_of_one_off(target: Any, draft: Any, drafted: Any, seed: int, top_k: int | None = None) -> Step:
    """Take a top-k of 1 for off, on both sides."""
    kept = None if top_k == 1 else top_k
    return _step(filtered(floats(target), top_k=kept), filtered(floats(draft), top_k=kept), drafted, seed)


def high_top_p_off(target: Any, draft: Any, drafted: Any, seed: int, top_p: float | None = None) -> Step:
    """Take a top-p of 0.9 and above for off, on both sides."""
    mass = None if top_p is None or top_p >= 0.9 else top_p
    return _step(filtered(floats(target), top_p=mass), filtered(floats(draft), top_p=mass), drafted, seed)


def _mutant(
    name: str, option: str, description: str, cite: str, run: Any, killed_by: str | None = None
) -> Mutant:
    check = killed_by or option.replace("_", "-")
    options = frozenset({option})
    return mutant_of(run, PARAMETERS, cite, (check,), name=name, description=description, options=options)


MUTANTS = (
    _mutant(
        "temperature-target-ignored",
        "temperature",
        "the target is read at temperature 1 whatever was asked for",
        "vllm-project/vllm#9834",
        temperature_target_ignored,
    ),
    _mutant(
        "temperature-draft-ignored",
        "temperature",
        "the test reads the draft at temperature 1, which was drawn at another",
        "vllm-project/vllm-ascend#6685",
        temperature_draft_ignored,
    ),
    _mutant(
        "temperature-twice",
        "temperature",
        "the target is divided by the temperature twice",
        "vllm-project/vllm-ascend#6685",
        temperature_twice,
    ),
    _mutant(
        "bonus-without-temperature",
        "temperature",
        "the bonus token is drawn at temperature 1",
        "ohdearquant/lattice#388, a temperature that is fixed",
        bonus_without_temperature,
    ),
    _mutant(
        "top-p-skipped",
        "top_p",
        "top-p is not applied to the target in verification",
        "mlc-ai/mlc-llm#2940",
        top_p_skipped,
    ),
    _mutant(
        "top-p-not-normalised",
        "top_p",
        "the target's rows are cut by top-p and not normalised again",
        "huggingface/transformers#47932, the same slip on the target's side",
        top_p_not_normalised,
    ),
    _mutant(
        "top-k-on-draft-only",
        "top_k",
        "top-k is applied to the draft and not to the target",
        "vllm-project/vllm#9834",
        top_k_on_draft_only,
    ),
    _mutant(
        "top-k-one-more",
        "top_k",
        "top-k keeps one token too many",
        "easily made: a threshold that is one off",
        top_k_one_more,
    ),
    _mutant(
        "low-temperature-greedy",
        "temperature",
        "at temperatures below 0.3 the target's likeliest token is taken",
        "easily made: a threshold for greedy sampling",
        low_temperature_greedy,
        "option-values",
    ),
    _mutant(
        "lowest-temperature-greedy",
        "temperature",
        "at temperatures below 0.15 the target's likeliest token is taken",
        "easily made: a threshold for greedy sampling",
        lowest_temperature_greedy,
        "option-values",
    ),
    _mutant(
        "top-k-of-32",
        "top_k",
        "a top-k above 32 is taken for 32 on the target",
        "easily made: a kernel with room for a fixed number of candidates",
        top_k_of_32,
        "combinations",
    ),
    _mutant(
        "temperature-at-least-half",
        "temperature",
        "temperatures of the target below 0.5 are raised to it",
        "easily made: a guard against division by small numbers",
        temperature_at_least_half,
        "option-values",
    ),
    _mutant(
        "top-k-of-one-off",
        "top_k",
        "a top-k of 1 is taken for off",
        "easily made: a comparison with > 1",
        top_k_of_one_off,
        "option-values",
    ),
    _mutant(
        "high-top-p-off",
        "top_p",
        "a top-p of 0.9 and above is taken for off",
        "easily made: a shortcut for values near 1",
        high_top_p_off,
        "option-values",
    ),
)
