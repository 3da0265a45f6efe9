"""Right samplers that draw their own drafts in unusual ways."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.zoo.controls_step import block_step, one_hot_step, ratio_step
from benchmarks.zoo.model import Control
from benchmarks.zoo.sampling import (
    Floats,
    Integers,
    draft_tokens,
    draw,
    emit,
    filtered,
    floats,
)
from specsim.validation.conformance.rules import drafters
from specsim.validation.conformance.rules.lossless import BLOCK, GUMBEL, RATIO
from specsim.validation.conformance.subjects import Subject

Result = tuple[Integers, Integers, Integers]


def _streams(seed: int) -> tuple[np.random.Generator, int]:
    """Return a generator for drafting and the seed of the verification."""
    first, second = np.random.SeedSequence(seed).generate_state(2)
    return np.random.default_rng(first), int(second)


def ratio(models: Any, seed: int) -> Result:
    """Draw from the draft rows, verify by the ratio."""
    generator, verify = _streams(seed)
    drafted, rows = draft_tokens(models, lambda row: draw(row, generator.random(models.batch)))
    return drafted, *ratio_step(models.target(drafted), rows, drafted, verify)


def block(models: Any, seed: int) -> Result:
    """Draw from the draft rows, verify the block."""
    generator, verify = _streams(seed)
    drafted, rows = draft_tokens(models, lambda row: draw(row, generator.random(models.batch)))
    return drafted, *block_step(models.target(drafted), rows, drafted, verify)


def argmax_one_hot(models: Any, seed: int) -> Result:
    """Draft greedily, verify by the one-hot rule."""
    drafted, _ = draft_tokens(models, lambda row: row.argmax(axis=-1))
    return drafted, *one_hot_step(models.target(drafted), None, drafted, seed)


def argmax_ratio(models: Any, seed: int) -> Result:
    """Draft greedily, verify by the ratio with a draft law that has all its mass on the drafted token."""
    drafted, rows = draft_tokens(models, lambda row: row.argmax(axis=-1))
    hot = (np.arange(rows.shape[-1]) == drafted[..., None]).astype(np.float64)
    return drafted, *ratio_step(models.target(drafted), hot, drafted, seed)


def top_2_one_hot(models: Any, seed: int) -> Result:
    """Draft among the two likeliest tokens, verify by the one-hot rule."""
    generator, verify = _streams(seed)
    drafted, _ = draft_tokens(
        models, lambda row: draw(filtered(row, top_k=2), generator.random(models.batch))
    )
    return drafted, *one_hot_step(models.target(drafted), None, drafted, verify)


def top_2_ratio(models: Any, seed: int) -> Result:
    """Draft among the two likeliest tokens, verify by the ratio with the filtered rows."""
    generator, verify = _streams(seed)
    drafted, rows = draft_tokens(
        models, lambda row: draw(filtered(row, top_k=2), generator.random(models.batch))
    )
    return drafted, *ratio_step(models.target(drafted), filtered(rows, top_k=2), drafted, verify)


def uniform_one_hot(models: Any, seed: int) -> Result:
    """Draft at random without asking the draft model, verify by the one-hot rule."""
    generator, verify = _streams(seed)
    drafted = generator.integers(models.vocabulary, size=(models.batch, models.draft_length))
    return drafted, *one_hot_step(models.target(drafted), None, drafted, verify)


def gumbel_match(models: Any, seed: int) -> Result:
    """Draw draft and target with the same noise at each position, accept while they agree."""
    generator = np.random.default_rng(seed)
    noise = generator.gumbel(size=(models.draft_length + 1, models.batch, models.vocabulary))
    position = iter(noise)
    drafted, _ = draft_tokens(models, lambda row: _race(row, next(position)))
    samples = _race(floats(models.target(drafted)), noise.transpose(1, 0, 2))
    return drafted, *emit(drafted, samples[:, :-1] == drafted, samples)


def _race(rows: Floats, noise: Floats) -> Integers:
    with np.errstate(divide="ignore"):
        winners: Integers = (np.log(rows) + noise).argmax(axis=-1)
    return winners


def draft_is_target(models: Any, seed: int) -> Result:
    """Draft with the target itself, row by row, and verify by the ratio: everything is accepted."""
    generator, verify = _streams(seed)
    drafted = np.zeros((models.batch, models.draft_length), dtype=np.int64)
    for i in range(models.draft_length):
        row = floats(models.target(drafted))[:, i]
        drafted[:, i] = draw(row, generator.random(models.batch))
    target = floats(models.target(drafted))
    return drafted, *ratio_step(target, target[:, :-1], drafted, verify)


def _control(name: str, description: str, source: str, run: Any, rule: Any = None) -> Control:
    subject = Subject(name=name, protocol="draft-and-verify", run=run, rule=rule)
    return Control(name=name, description=description, source=source, subject=subject)


CONTROLS = (
    _control(
        "draft-ratio", "the published rule with its own drafts", "2211.17192, Algorithm 1", ratio, RATIO
    ),
    _control(
        "draft-block", "block verification with its own drafts", "2403.10444, Algorithm 2", block, BLOCK
    ),
    _control(
        "argmax-one-hot",
        drafters.ARGMAX_ONE_HOT.title,
        "SafeAILab/EAGLE#329; SafeAILab/EAGLE#183",
        argmax_one_hot,
        drafters.ARGMAX_ONE_HOT,
    ),
    _control(
        "argmax-ratio",
        drafters.ARGMAX_RATIO.title,
        drafters.ARGMAX_RATIO.source,
        argmax_ratio,
        drafters.ARGMAX_RATIO,
    ),
    _control(
        "top-2-one-hot",
        drafters.TOP_2_ONE_HOT.title,
        "SafeAILab/EAGLE#171; SafeAILab/EAGLE#110",
        top_2_one_hot,
        drafters.TOP_2_ONE_HOT,
    ),
    _control(
        "top-2-ratio",
        drafters.TOP_2_RATIO.title,
        drafters.TOP_2_RATIO.source,
        top_2_ratio,
        drafters.TOP_2_RATIO,
    ),
    _control(
        "uniform-one-hot",
        drafters.UNIFORM_ONE_HOT.title,
        drafters.UNIFORM_ONE_HOT.source,
        uniform_one_hot,
        drafters.UNIFORM_ONE_HOT,
    ),
    _control("gumbel-match", GUMBEL.title, GUMBEL.source, gumbel_match, GUMBEL),
    _control(
        "draft-is-target",
        "the target drafts for itself, and every draft is accepted",
        "2211.17192, with equal models",
        draft_is_target,
    ),
)
