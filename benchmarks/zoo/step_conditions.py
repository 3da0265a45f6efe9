"""Steps, rounds and trees that are wrong under one condition alone, and right ones that look like them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.zoo.controls_drafting import Result
from benchmarks.zoo.controls_step import ratio_step
from benchmarks.zoo.model import Control, mutant_of
from benchmarks.zoo.sampling import (
    Integers,
    Step,
    at,
    draft_tokens,
    draw,
    emit,
    filtered,
    finals,
    floats,
    gap,
    quotient,
)
from benchmarks.zoo.tree_walk import Visit, depths, walk
from specsim.validation.conformance.rules import lossless
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject

#: Rows of a piece of a call, numbers that an offset can tell apart, nodes of a mask, levels of a tree.
PIECE, OFFSETS, NODES, LEVELS = 256, 2**16, 32, 4
#: Mass of a residual that is taken for rounding.
CLOSE = 0.1


def forbidden_likeliest(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Replace a drafted token that the target forbids by the target's likeliest."""
    target, draft = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    mass = at(target[:, :-1], drafted)
    accepted = generator.random(drafted.shape) < quotient(mass, at(draft, drafted))
    rows = finals(gap(target[:, :-1], draft), target[:, -1])
    last = draw(rows, generator.random(rows.shape[:2]))
    last[:, :-1] = np.where(mass > 0, last[:, :-1], target[:, :-1].argmax(axis=-1))
    return emit(drafted, accepted, last)


def certain_drafts_kept(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Accept a drafted token that the draft was certain of, where the target allows it at all."""
    target, draft = floats(target), floats(draft)
    certain = (at(draft, drafted) == 1) & (at(target[:, :-1], drafted) > 0)
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    rows = finals(gap(target[:, :-1], draft), target[:, -1])
    return emit(drafted, accepted | certain, draw(rows, generator.random(rows.shape[:2])))


def close_rows_kept(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Accept a drafted token without a test where the residual has less than a tenth of the mass."""
    target, draft = floats(target), floats(draft)
    if not (np.isfinite(target).all() and np.isfinite(draft).all()):
        raise ValueError("rows are not finite")
    generator = np.random.default_rng(seed)
    close = np.maximum(target[:, :-1] - draft, 0.0).sum(axis=-1) < CLOSE
    accepted = generator.random(drafted.shape) < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    rows = finals(gap(target[:, :-1], draft), target[:, -1])
    return emit(drafted, accepted | close, draw(rows, generator.random(rows.shape[:2])))


def drafts_of_five(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Use a kernel for drafts of five tokens that reads the first draft row twice."""
    draft = floats(draft)
    if drafted.shape[1] == 5:
        draft[:, 1] = draft[:, 0]
    return ratio_step(target, draft, drafted, seed)


def odd_vocabularies(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Load two ids at a time; the last one of an odd vocabulary has no mass."""
    target = floats(target)
    if target.shape[-1] % 2 and target.shape[-1] > 1:
        target[..., -1] = 0.0
        target[..., 0] += target.sum(axis=-1) == 0
        target /= target.sum(axis=-1, keepdims=True)
    return ratio_step(target, draft, drafted, seed)


def last_block_of_whole_ones(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Never draw from the last block of a vocabulary that has a whole number of blocks of 128 tokens."""
    target, draft = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    weights = finals(gap(target[:, :-1], draft), target[:, -1])
    if target.shape[-1] % 128 == 0 and target.shape[-1] > 128:
        weights[..., -128:] *= weights[..., :-128].sum(axis=-1, keepdims=True) == 0
    return emit(drafted, accepted, draw(weights, generator.random(weights.shape[:2])))


def untested_after_one_token(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Accept any possible draft after a row that allows one token alone."""
    target, draft = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    forced = target[:, :-2].max(axis=-1) == 1
    accepted[:, 1:] |= forced & (at(target[:, 1:-1], drafted[:, 1:]) > 0)
    weights = finals(gap(target[:, :-1], draft), target[:, -1])
    return emit(drafted, accepted, draw(weights, generator.random(weights.shape[:2])))


def greedy_bonus_when_cold(
    target: Any, draft: Any, drafted: Any, seed: int, temperature: float | None = None
) -> Step:
    """Take the likeliest bonus token below a temperature of 0.45."""
    rows, read = filtered(floats(target), temperature), filtered(floats(draft), temperature)
    if temperature is not None and temperature < 0.45:
        rows[:, -1] = np.eye(rows.shape[-1])[rows[:, -1].argmax(axis=-1)]
    return ratio_step(rows, read, drafted, seed)


def pieces_seeded_on(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Cut large calls into pieces of 256 rows, with the seeds after the call's."""
    return _pieces(target, draft, drafted, lambda number: seed + number)


def pieces_hashed(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Cut large calls into pieces of 256 rows, with a hash of seed and piece for each."""
    return _pieces(
        target,
        draft,
        drafted,
        lambda number: int(np.random.SeedSequence([seed, number]).generate_state(1)[0]),
    )


def _pieces(target: Any, draft: Any, drafted: Any, seed_of: Callable[[int], int]) -> Step:
    parts = []
    for number, begin in enumerate(range(0, len(drafted), PIECE)):
        rows = slice(begin, begin + PIECE)
        parts.append(ratio_step(target[rows], draft[rows], drafted[rows], seed_of(number)))
    return np.concatenate([tokens for tokens, _ in parts]), np.concatenate([sizes for _, sizes in parts])


def seeds_by_fours(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Seed row b with seed + 4 b, a number for every coin of a row."""
    length = drafted.shape[1] + 1
    coins = [np.random.default_rng(seed + 4 * row).random(length) for row in range(len(drafted))]
    return ratio_step(target, draft, drafted, seed, coins=np.stack(coins))


def offsets_of_16_bits(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Count the target's rows with 16 bits; later rows are read as the first ones."""
    target = floats(target)
    rows = np.arange(len(target))
    begins = rows * target[0].size
    return ratio_step(target[np.where(begins < OFFSETS, rows, begins % OFFSETS // target[0].size)], draft,
                      drafted, seed)  # fmt: skip


def shards_alike(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Normalise each half of the ids by itself, and take both for equally likely."""
    target = floats(target)
    half = target.shape[-1] // 2
    for part in (slice(None, half), slice(half, None)):
        total = target[..., part].sum(axis=-1, keepdims=True)
        target[..., part] /= np.where(total > 0, total, 1.0)
    target /= target.sum(axis=-1, keepdims=True)
    return ratio_step(target, draft, drafted, seed)


def empty_residual_uniform(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Draw from all ids alike where the residual is empty, which an exact test never meets."""
    target, draft = floats(target), floats(draft)
    if not (np.isfinite(target).all() and np.isfinite(draft).all()):
        raise ValueError("rows are not finite")
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    left = np.maximum(target[:, :-1] - draft, 0.0)
    left += left.sum(axis=-1, keepdims=True) == 0
    return emit(
        drafted, accepted, draw(finals(left, target[:, -1]), generator.random(drafted.shape[0])[:, None])
    )


def looked_up_always(models: Any, seed: int) -> Result:
    """Take looked-up drafts with a probability that makes the ratio 1: all are accepted."""
    generator = np.random.default_rng(seed)
    drafted, _ = draft_tokens(models, lambda row: row.argmax(axis=1))
    target = floats(models.target(drafted))
    last = draw(target, generator.random(target.shape[:2]))
    return drafted, *emit(drafted, np.ones(drafted.shape, dtype=bool), last)


def no_draft_no_target(models: Any, seed: int) -> Result:
    """Draft where the draft is confident; a row that drafted nothing takes its token from the draft."""
    generator = np.random.default_rng(seed)
    drafted, rows = draft_tokens(models, lambda row: draw(row, generator.random(models.batch)))
    target = floats(models.target(drafted))
    ends = np.cumprod(rows.max(axis=2) >= 0.5, axis=1).sum(axis=1)
    target[ends == 0, 0] = rows[ends == 0, 0]
    return drafted, *ratio_step(target, rows, drafted, seed + 2**40, draft_lengths=ends)


def filters_of_target(models: Any, seed: int, top_k: int | None = None, top_p: float | None = None) -> Result:
    """Draft from the whole draft row, take the ratio with it, and filter the target alone."""
    generator = np.random.default_rng(seed)
    drafted, rows = draft_tokens(models, lambda row: draw(row, generator.random(models.batch)))
    target = filtered(floats(models.target(drafted)), top_k=top_k, top_p=top_p)
    return drafted, *ratio_step(target, rows, drafted, seed + 2**40)


def filters_of_target_step(
    target: Any, draft: Any, drafted: Any, seed: int, top_k: int | None = None, top_p: float | None = None
) -> Step:
    """Take the ratio with the whole draft row, from which drafts come, and filter the target alone."""
    return ratio_step(filtered(floats(target), top_k=top_k, top_p=top_p), floats(draft), drafted, seed)


def _matched(visit: Visit) -> tuple[Integers, Integers]:
    """Draw from the target, and descend into the child that is it."""
    drawn = draw(visit.target, visit.node_coin)
    same = visit.tokens == drawn[:, None]
    return np.where(same.any(axis=1), same.argmax(axis=1), -1), drawn


def tree_masks_of_32(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Keep the ancestors of a node in 32 bits: later nodes have the rows of the first ones."""
    target = floats(target)
    nodes = np.arange(target.shape[1])
    return walk(parents, target[:, nodes % NODES], draft, tokens, seed, _matched)


def tree_deep_leaves(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Have room for four levels: deeper leaves have their parent's target row."""
    target = floats(target)
    for node, depth in enumerate(depths(parents)):
        if depth > LEVELS:
            target[:, node] = target[:, int(parents[node])]
    return walk(parents, target, draft, tokens, seed, _matched)


_OWN: dict[str, Any] = {"protocol": "draft-and-verify"}
_TREE: dict[str, Any] = {"protocol": "tree", "rule": lossless.MATCH, "draft": "optional"}

MUTANTS = (
    mutant_of(
        forbidden_likeliest, "2 recovery law", "local-inference-lab/vllm#476, greedily", ("joint-law",)
    ),
    mutant_of(
        certain_drafts_kept,
        "3 acceptance",
        "openvinotoolkit/openvino.genai#2331, for a draft that has a row",
        ("zero-mass",),
    ),
    mutant_of(
        close_rows_kept,
        "8 zeros, NaN, edges",
        "easily made: a guard against empty residuals with a large epsilon; compare youssofal/MTPLX#83",
        ("equal-rows",),
    ),
    mutant_of(
        last_block_of_whole_ones,
        "12 vocabulary map",
        "easily made: one block too few where none is left over",
        ("wide-vocabulary",),
    ),
    mutant_of(
        untested_after_one_token,
        "3 acceptance",
        "easily made: a grammar that jumps over tokens it forces",
        ("zero-mass",),
    ),
    mutant_of(
        greedy_bonus_when_cold,
        "5 parameters, history",
        "NVIDIA-NeMo/Automodel#3627",
        ("option-values",),
        options=frozenset({"temperature"}),
    ),
    mutant_of(drafts_of_five, "6 rows", "easily made: a kernel for one draft length", ("sizes",)),
    mutant_of(odd_vocabularies, "12 vocabulary map", "easily made: vector loads", ("sizes",)),
    mutant_of(
        pieces_seeded_on, "4 randomness", "vllm-project/vllm#9441, by pieces", ("seed-independence",)
    ),
    mutant_of(seeds_by_fours, "4 randomness", "vllm-project/vllm#9441, by fours", ("seed-independence",)),
    mutant_of(
        offsets_of_16_bits,
        "10 batch, padding",
        "vllm-project/vllm#48055; sgl-project/sglang#35571, for a narrower type",
        ("wide-vocabulary", "sizes"),
    ),
    mutant_of(shards_alike, "12 vocabulary map", "sgl-project/sglang#38565, by a lot", ("joint-law",)),
    mutant_of(
        looked_up_always, "3 acceptance", "openvinotoolkit/openvino.genai#2331", ("joint-law",), **_OWN
    ),
    mutant_of(
        no_draft_no_target, "9 bonus, caches", "easily made: rows without drafts pass verification by",
        ("sizes",), **_OWN,
    ),
    mutant_of(tree_masks_of_32, "6 rows", "easily made: a mask of 32 bits", ("sizes",), **_TREE),
    mutant_of(tree_deep_leaves, "6 rows", "easily made: room for a fixed number", ("sizes",), **_TREE),
)  # fmt: skip


def _control(run: Callable[..., Any], source: str, **fields: Any) -> Control:
    name = run.__name__.replace("_", "-")
    subject = Subject(name=name, run=run, **{"protocol": "step", "rule": RATIO, **fields})
    return Control(name=name, description=(run.__doc__ or "").rstrip("."), source=source, subject=subject)


CONTROLS = (
    _control(pieces_hashed, "vllm-project/vllm#9441, done right"),
    _control(
        empty_residual_uniform,
        "youssofal/MTPLX#83; jaymody/speculative-sampling#5: a fallback that is not reached",
    ),
    _control(
        filters_of_target,
        "vllm-project/vllm#56724",
        protocol="draft-and-verify",
        filters="target",
        options=frozenset({"top_k", "top_p"}),
    ),
    _control(
        filters_of_target_step,
        "vllm-project/vllm#56724",
        filters="target",
        options=frozenset({"top_k", "top_p"}),
    ),
)
