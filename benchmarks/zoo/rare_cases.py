"""Mistakes that most inputs hide: long drafts and texts, rare tokens, rows and seeds some way apart."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.zoo.controls_step import ratio_step
from benchmarks.zoo.decoding import Mistakes, decode
from benchmarks.zoo.model import Mutant, mutant_of
from benchmarks.zoo.sampling import (
    Floats,
    Integers,
    Step,
    at,
    draw,
    emit,
    finals,
    floats,
    gap,
    quotient,
)
from benchmarks.zoo.tree_walk import Visit, walk
from specsim.validation.conformance.rules import lossless

#: Drafted tokens that there is room for, and tokens that a cache has room for.
DRAFTS, ROOM = 3, 16
#: Bonus tokens less likely than the likeliest by more than this are never drawn.
MIN_P = 1 / 256


def _step(target: Floats, draft: Floats, bonus: Floats, drafted: Integers, seed: int) -> Step:
    """Apply the ratio rule with a bonus row ``(B, V)`` of its own."""
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    rows = finals(gap(target[:, :-1], draft), bonus)
    return emit(drafted, accepted, draw(rows, generator.random(rows.shape[:2])))


def long_draft_bonus(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Keep the rows of three drafted tokens and one more; what is after them is the draft's."""
    target, draft = floats(target), floats(draft)
    return _step(target, draft, target[:, -1] if drafted.shape[1] <= DRAFTS else draft[:, -1], drafted, seed)


def bonus_min_p(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Filter the bonus row by min-p, and no other."""
    target = floats(target)
    last = target[:, -1]
    kept = np.where(last < MIN_P * last.max(axis=1, keepdims=True), 0.0, last)
    return _step(target, floats(draft), kept, drafted, seed)


def halves_alike(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Verify each half of a batch on a device of its own, both with the same seed."""
    half = (len(drafted) + 1) // 2
    parts = [
        ratio_step(target[rows], draft[rows], drafted[rows], seed)
        for rows in (slice(None, half), slice(half, None))
    ]
    return np.concatenate([tokens for tokens, _ in parts]), np.concatenate([lengths for _, lengths in parts])


def seed_halved(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Keep a seed in a type that is one bit too short."""
    return ratio_step(target, draft, drafted, seed // 2)


def tree_coins_per_batch(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Draw from the target at a node by the same coin in all trees; descend into the child that is it."""
    coins = np.random.default_rng(seed).random(len(parents))

    def test(visit: Visit) -> tuple[Integers, Integers]:
        drawn = draw(visit.target, np.full(len(visit.target), coins[visit.node]))
        same = visit.tokens == drawn[:, None]
        return np.where(same.any(axis=1), same.argmax(axis=1), -1), drawn

    return walk(parents, target, draft, tokens, seed, test)


def _mutant(
    name: str, bug_class: str, description: str, cite: str, run: Any, check: str, **fields: Any
) -> Mutant:
    return mutant_of(run, bug_class, cite, (check,), name=name, description=description, **fields)


MUTANTS = (
    _mutant(
        "long-draft-bonus",
        "9 bonus, caches",
        "after drafts of more than three tokens the bonus token is drawn from the draft",
        "easily made: room for a fixed number of drafts; compare vllm-project/vllm-ascend#9221",
        long_draft_bonus,
        "draft-lengths",
    ),
    _mutant(
        "cache-full",
        "9 bonus, caches",
        "a full cache goes on with the row of its last token, the sixteenth",
        "ml-explore/mlx-lm#1914, a rotating cache that is wrong once it is full",
        partial(decode, mistakes=Mistakes(target_room=ROOM)),
        "long-texts",
        protocol="decoder",
    ),
    _mutant(
        "bonus-min-p",
        "9 bonus, caches",
        "the bonus token alone is filtered by min-p, and its rare tokens are never drawn",
        "vllm-project/vllm#42744",
        bonus_min_p,
        "wide-vocabulary",
    ),
    _mutant(
        "halves-alike",
        "4 randomness",
        "the second half of a batch has the coins of the first",
        "easily made: one seed on every device; compare ByteDance-Seed/VeOmni#143",
        halves_alike,
        "batch-independence",
    ),
    _mutant(
        "seed-halved",
        "4 randomness",
        "each pair of neighbouring seeds gives the same numbers",
        "PrincetonUniversity/PsyNeuLink#3358, seeds rounded in a shorter type",
        seed_halved,
        "seed-independence",
    ),
    _mutant(
        "tree-coins-per-batch",
        "4 randomness",
        "all trees of a batch are verified with the same coins",
        "vllm-project/vllm#35398, one seed where there is one per request",
        tree_coins_per_batch,
        "batch-independence",
        protocol="tree",
        rule=lossless.MATCH,
        draft="optional",
    ),
)
