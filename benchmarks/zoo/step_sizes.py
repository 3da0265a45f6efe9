"""Steps that are right for most sizes: wrong after a length, a number of rows, an id, or for far rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.zoo.controls_step import ratio_step
from benchmarks.zoo.model import Control, mutant_of
from benchmarks.zoo.sampling import Floats, Integers, Step, at, draw, emit, finals, floats, gap, quotient
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject

#: Drafted tokens that are verified; rows for which there is room; rows of a captured graph; ids of a block;
#: rows after which coins begin again.
DRAFTS, ROWS, GRAPH, BLOCK, PERIOD = 8, 1024, 16, 200, 500


def drafts_behind_eight(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Verify eight drafted tokens; the masks of those after them are never cleared: they are accepted."""
    target, draft = floats(target), floats(draft)
    target[:, DRAFTS:-1] = draft[:, DRAFTS:]
    return ratio_step(target, draft, drafted, seed)


def bonus_behind_twelve(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Draw the bonus token after more than twelve drafted ones from the row before its own."""
    target = floats(target)
    if drafted.shape[1] > 12:
        target[:, -1] = target[:, -2]
    return ratio_step(target, draft, drafted, seed)


def rows_behind_1024(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Have room for 1,024 target rows; later requests read the rows of the first ones."""
    target = floats(target)
    return ratio_step(target[np.arange(len(target)) % ROWS], draft, drafted, seed)


def last_row_of_odd_batches(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Work on two requests at a time; the last one of an odd batch reads the rows of the one before."""
    target = floats(target)
    if len(target) % 2 and len(target) > 1:
        target[-1] = target[-2]
    return ratio_step(target, draft, drafted, seed)


def graph_of_sixteen(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Replay a graph for 9 to 16 requests that was captured with the draft rows of its first one."""
    draft = floats(draft)
    if GRAPH // 2 < len(draft) <= GRAPH:
        draft[:] = draft[:1]
    return ratio_step(target, draft, drafted, seed)


def last_block_of_ids(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Draw from whole blocks of 200 ids only, where there is one."""
    target = floats(target)
    whole = target.shape[-1] // BLOCK * BLOCK
    rows = finals(gap(target[:, :-1], floats(draft)), target[:, -1])
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < quotient(
        at(target[:, :-1], drafted), at(floats(draft), drafted)
    )
    if whole and whole < target.shape[-1]:
        rows[..., whole:] = 0.0
        rows[..., 0] += rows.sum(axis=-1) == 0
    return emit(drafted, accepted, draw(rows, generator.random(rows.shape[:2])))


def few_tokens_unmasked(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Pad vocabularies of 33 to 99 tokens with mass: the last token takes the place of what is missing."""
    target = floats(target)
    if 32 < target.shape[-1] < 100:
        target[..., -1] += 0.3
        target /= target.sum(axis=-1, keepdims=True)
    return ratio_step(target, draft, drafted, seed)


def coins_begin_again(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Use the same coins for rows that are 500 apart."""
    coins = np.random.default_rng(seed).random((PERIOD, drafted.shape[1] + 1))
    return ratio_step(target, draft, drafted, seed, coins=coins[np.arange(len(drafted)) % PERIOD])


def temperature_of_two(
    target: Any, draft: Any, drafted: Any, seed: int, temperature: float | None = None
) -> Step:
    """Apply the temperature to the first three target rows; rows after them keep their own."""
    changed = ratio_rows(floats(target), temperature)
    changed[:, 3:] = floats(target)[:, 3:]
    return ratio_step(changed, ratio_rows(floats(draft), temperature), drafted, seed)


def ratio_rows(rows: Floats, temperature: float | None) -> Floats:
    """Return rows at a temperature."""
    powers = rows if temperature is None else rows ** (1 / temperature)
    changed: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return changed


def single_row_from_target(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """In a call of one row, replace a rejected token by a draw from the target."""
    if len(drafted) > 1:
        return ratio_step(target, draft, drafted, seed)
    target, draft = floats(target), floats(draft)
    coins = np.random.default_rng(seed).random((1, 2 * drafted.shape[1] + 1))
    accepted = coins[:, : drafted.shape[1]] < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    return emit(drafted, accepted, draw(target, coins[:, drafted.shape[1] :]))


def single_row_of_two_blocks(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """In a call of one row, replace a rejected token from the first 128 ids, if any of them can be taken."""
    target, draft = floats(target), floats(draft)
    if len(drafted) > 1 or target.shape[-1] <= 128:
        return ratio_step(target, draft, drafted, seed)
    coins = np.random.default_rng(seed).random((1, 2 * drafted.shape[1] + 1))
    accepted = coins[:, : drafted.shape[1]] < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    rows = gap(target[:, :-1], draft)
    rows[..., 128:] = 0.0
    rows = np.where(rows.sum(axis=-1, keepdims=True) > 0, rows, target[:, :-1])
    return emit(drafted, accepted, draw(finals(rows, target[:, -1]), coins[:, drafted.shape[1] :]))


def ids_of_15_bits(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Keep 15 bits of the id of the token after the drafts."""
    tokens, lengths = ratio_step(target, draft, drafted, seed)
    rows = np.arange(len(tokens))
    tokens[rows, lengths - 1] &= 0x7FFF
    return tokens, lengths


def first_row_has_the_last_draft(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Verify the first row with the draft rows of the last one."""
    rows = floats(draft)
    rows[0] = rows[-1]
    return ratio_step(target, rows, drafted, seed)


def padded_batches(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Pad a batch to a power of two with copies of its first row, and drop what they emit."""
    size = len(drafted)
    rows = np.concatenate([np.arange(size), np.zeros((1 << (size - 1).bit_length()) - size, dtype=np.int64)])
    tokens, lengths = ratio_step(floats(target)[rows], floats(draft)[rows], drafted[rows], seed)
    return tokens[:size], lengths[:size]


def blocks_of_ids(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Draw with Gumbel noise block by block of 300 ids, as shards of a vocabulary do, and keep the best."""
    target, draft = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    rows = finals(gap(target[:, :-1], draft), target[:, -1])
    best = np.full(rows.shape[:2], -np.inf)
    last: Integers = np.zeros(rows.shape[:2], dtype=np.int64)
    for begin in range(0, rows.shape[-1], 300):
        part = rows[..., begin : begin + 300]
        with np.errstate(divide="ignore"):
            scores = np.log(part) + generator.gumbel(size=part.shape)
        top = scores.argmax(axis=-1)
        score = np.take_along_axis(scores, top[..., None], axis=-1)[..., 0]
        last = np.where(score > best, begin + top, last)
        best = np.maximum(best, score)
    return emit(drafted, accepted, last)


_MADE = "easily made: room for a fixed number"

MUTANTS = (
    mutant_of(
        drafts_behind_eight, "3 acceptance", f"{_MADE}; compare vllm-project/vllm-ascend#9221", ("sizes",)
    ),
    mutant_of(
        bonus_behind_twelve, "9 bonus, caches", f"{_MADE}; compare NVIDIA/TensorRT-LLM#15098", ("sizes",)
    ),
    mutant_of(rows_behind_1024, "10 batch, padding", _MADE, ("sizes",)),
    mutant_of(
        last_row_of_odd_batches, "10 batch, padding", "easily made: a tail that is not handled", ("sizes",)
    ),
    mutant_of(
        graph_of_sixteen, "10 batch, padding", "easily made: a captured input that is not copied", ("sizes",)
    ),
    mutant_of(
        last_block_of_ids,
        "12 vocabulary map",
        "easily made: a grid of whole blocks",
        ("wide-vocabulary", "sizes"),
    ),
    mutant_of(
        single_row_from_target,
        "2 recovery law",
        "easily made: a branch for one request; compare ggml-org/llama.cpp#27694",
        ("single-rows",),
    ),
    mutant_of(
        single_row_of_two_blocks,
        "2 recovery law",
        "easily made: a kernel for one request that reduces the first block alone",
        ("sizes",),
    ),
    mutant_of(
        ids_of_15_bits, "12 vocabulary map", "easily made: a signed type of 16 bits", ("wide-vocabulary",)
    ),
    mutant_of(
        first_row_has_the_last_draft, "10 batch, padding", "vllm-project/vllm-ascend#16222", ("batch-rows",)
    ),
    mutant_of(
        few_tokens_unmasked, "12 vocabulary map", "easily made: padding that is not masked", ("sizes",)
    ),
    mutant_of(
        coins_begin_again,
        "4 randomness",
        "easily made: a buffer of random numbers that is used round and round",
        ("batch-independence",),
    ),
    mutant_of(
        temperature_of_two,
        "5 parameters, history",
        _MADE,
        ("temperature",),
        options=frozenset({"temperature"}),
    ),
)

CONTROLS = tuple(
    Control(
        name=run.__name__.replace("_", "-"),
        description=(run.__doc__ or "").rstrip("."),
        source=source,
        subject=Subject(name=run.__name__.replace("_", "-"), protocol="step", run=run, rule=RATIO),
    )
    for run, source in (
        (padded_batches, "captured graphs of serving engines, done right"),
        (blocks_of_ids, "tensor-parallel sampling: the best of every shard"),
    )
)
