"""Mistakes that only one kind of input shows: short types, missing rows, odd trees, full drafts."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.zoo.controls_step import ratio_step
from benchmarks.zoo.model import Mutant, mutant_of
from benchmarks.zoo.sampling import (
    Step,
    at,
    draw,
    emit,
    finals,
    floats,
    gap,
    quotient,
)
from benchmarks.zoo.tree_controls import shared_target_draw
from benchmarks.zoo.tree_walk import Visit, depths, recursive, walk
from specsim.validation.conformance.rules import lossless
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject

#: Added to the rows of short types, against division by zero.
SHORT_EPSILON = 2.0**-5


def one_too_many(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Count the bonus token twice when the whole draft is accepted."""
    tokens, lengths = ratio_step(target, draft, drafted, seed)
    return tokens, lengths + (lengths == drafted.shape[1] + 1)


def short_epsilon(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Add a constant to the draft rows when they come in a type of 16 bits."""
    rows = floats(draft)
    if np.asarray(draft).dtype.itemsize == 2:
        rows = rows + SHORT_EPSILON
    target = floats(target)
    tests, last = np.split(
        np.random.default_rng(seed).random((len(drafted), 2 * drafted.shape[1] + 1)),
        [drafted.shape[1]],
        axis=1,
    )
    accepted = tests < quotient(at(target[:, :-1], drafted), at(rows, drafted))
    return emit(drafted, accepted, draw(finals(gap(target[:, :-1], rows), target[:, -1]), last))


def coarse_draws_of_short_rows(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Draw tokens with uniforms of 8 bits when rows come in a type of 16 bits."""
    coins = np.random.default_rng(seed).random((len(drafted), drafted.shape[1] + 1))
    if np.asarray(target).dtype.itemsize == 2:
        coins[:, -1] = np.floor(coins[:, -1] * 256) / 256
    return ratio_step(target, draft, drafted, seed, coins=coins)


def missing_rows_as_one(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Take missing draft rows for probability 1 in the test, and draw the residual from the target."""
    if draft is not None:
        return ratio_step(target, draft, drafted, seed)
    target = floats(target)
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < at(target[:, :-1], drafted)
    return emit(drafted, accepted, draw(target, generator.random(target.shape[:2])))


def shallow_leaf_from_draft(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Draw the token after a leaf that is not among the deepest from the draft."""
    level = np.array(depths(parents))
    bonus = np.where((level < level.max())[None, :, None], floats(draft), floats(target))

    def test(visit: Visit) -> Any:
        return recursive(visit, replacement=True)

    return walk(parents, target, draft, tokens, seed, test, bonus=bonus)


MUTANTS = (
    Mutant(
        name="one-too-many",
        description="When the whole draft is accepted, one token more is reported than was emitted.",
        cite="flashinfer-ai/flashinfer#879",
        bug_class="8 zeros, NaN, edges",
        subject=Subject(name="one-too-many", protocol="step", run=one_too_many, rule=RATIO),
        killed_by=("contract",),
    ),
    Mutant(
        name="short-epsilon",
        description="Draft rows in float16 get a constant added, against division by zero.",
        cite="easily made: an epsilon chosen for the type",
        bug_class="1 draft law",
        subject=Subject(
            name="short-epsilon",
            protocol="step",
            run=short_epsilon,
            rule=RATIO,
            dtypes=("float32", "float16"),
        ),
        killed_by=("types",),
    ),
    mutant_of(
        coarse_draws_of_short_rows,
        "4 randomness",
        "NVIDIA/Megatron-LM#7182, of one type only",
        ("repeated-draws",),
        dtypes=("float32", "float16"),
    ),
    Mutant(
        name="missing-rows-as-one",
        description="Without draft rows the ratio is the target's probability, the residual the target.",
        cite="vllm-project/vllm-ascend#7603; xLLM-AI/xllm#2175",
        bug_class="2 recovery law",
        subject=Subject(
            name="missing-rows-as-one", protocol="step", run=missing_rows_as_one, rule=RATIO, draft="optional"
        ),
        killed_by=("one-hot-drafts",),
    ),
    Mutant(
        name="tree-silent-fallback",
        description="Declares recursive rejection, and takes one target draw per node: lossless, but slower.",
        cite="vllm-project/vllm#44869",
        bug_class="silent fallback",
        subject=Subject(
            name="tree-silent-fallback", protocol="tree", run=shared_target_draw, rule=lossless.RECURSIVE
        ),
        killed_by=("tree-acceptance",),
    ),
    Mutant(
        name="tree-shallow-leaf-from-draft",
        description="The token after a leaf that is not among the deepest is drawn from the draft.",
        cite="easily made: rows of leaves gathered for the last level alone",
        bug_class="9 bonus, caches",
        subject=Subject(
            name="tree-shallow-leaf-from-draft",
            protocol="tree",
            run=shallow_leaf_from_draft,
            rule=lossless.RECURSIVE,
        ),
        killed_by=("tree-shapes",),
    ),
)
