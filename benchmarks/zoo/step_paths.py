"""Steps with a path for one row, long drafts, a type or a nearly certain row, which is wrong there alone."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from benchmarks.zoo.controls_step import ratio_step
from benchmarks.zoo.model import mutant_of
from benchmarks.zoo.sampling import Step, at, draw, filtered, finals, floats, gap, quotient


def one_row_of_five_drafts(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """In a call of one row, accept the drafted tokens behind the fifth without a test."""
    coins = np.random.default_rng(seed).random((len(drafted), drafted.shape[1] + 1))
    if len(drafted) == 1:
        coins[:, 5:-1] = 0.0
    return ratio_step(target, draft, drafted, seed, coins=coins)


def few_rows_in_two_parts(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """In calls of fewer than four rows of over 128 tokens, draw the bonus token from the last draft row."""
    rows = floats(target)
    if len(drafted) < 4 and rows.shape[-1] > 128:
        rows[:, -1] = floats(draft)[:, -1]
    return ratio_step(rows, draft, drafted, seed)


def five_wide_draft_rows(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Keep five draft rows of more than 256 tokens, and test later drafts by the fifth."""
    rows = floats(draft)
    if rows.shape[-1] > 256:
        rows = rows[:, np.minimum(np.arange(drafted.shape[1]), 4)]
    return ratio_step(target, rows, drafted, seed)


def one_row_without_top_k(target: Any, draft: Any, drafted: Any, seed: int, top_k: int | None = None) -> Step:
    """In a call of one row, leave the target unfiltered."""
    read, rows = filtered(floats(draft), top_k=top_k), floats(target)
    if len(drafted) > 1:
        rows = filtered(rows, top_k=top_k)
    return ratio_step(rows, read, drafted, seed)


def tests_of_small_calls(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """In calls of 32 rows and fewer, test each place of all rows by one number."""
    coins = np.random.default_rng(seed).random((len(drafted), drafted.shape[1] + 1))
    if len(drafted) <= 32:
        coins[:, :-1] = coins[0, :-1]
    return ratio_step(target, draft, drafted, seed, coins=coins)


def seeds_behind_an_end(
    target: Any, draft: Any, drafted: Any, seed: int, eos: int | None = None, seeds: Any = None
) -> Step:
    """Give the rows behind one that ends the seed of the row before."""
    own = np.arange(len(drafted)) + seed if seeds is None else np.asarray(seeds)
    if eos is not None and seeds is not None:
        behind = np.cumsum((drafted[:, 0] == eos) & (floats(target)[:, 0, eos] > 0.3)) > 0
        own = np.where(behind, np.roll(own, 1), own)
    coins = np.stack([np.random.default_rng(int(item)).random(drafted.shape[1] + 1) for item in own])
    tokens, lengths = ratio_step(target, draft, drafted, seed, coins=coins)
    if eos is not None:
        ended = (tokens == eos) & (np.arange(tokens.shape[1]) < lengths[:, None])
        lengths = np.where(ended.any(axis=1), ended.argmax(axis=1) + 1, lengths)
    return tokens, lengths


def report_of_four_tokens(target: Any, draft: Any, drafted: Any, seed: int) -> Any:
    """Report log-probabilities of 0 behind the fourth token."""
    tokens, lengths = ratio_step(target, draft, drafted, seed)
    kept = np.where(np.arange(tokens.shape[1]) < lengths[:, None], tokens, 0)
    with np.errstate(divide="ignore"):
        found = np.log(at(floats(target), kept))
    found[:, 4:] = 0.0
    return tokens, lengths, {"logprobs": found}


def bonus_row_of_float32(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """For rows in float32, draw the bonus token from the row before."""
    rows = floats(target)
    if np.asarray(target).dtype == np.float32:
        rows[:, -1] = rows[:, -2]
    return ratio_step(rows, draft, drafted, seed)


def nearly_certain_is_greedy(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Take the likeliest token of the target where it has more than 0.95."""
    rows = floats(target)
    only = np.eye(rows.shape[-1])[rows.argmax(axis=-1)]
    return ratio_step(np.where(rows.max(axis=-1, keepdims=True) > 0.95, only, rows), draft, drafted, seed)


def nearly_certain_drafts_untested(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Accept a drafted token that has more than 0.95 in its draft row."""
    coins = np.random.default_rng(seed).random((len(drafted), drafted.shape[1] + 1))
    coins[:, :-1][at(floats(draft), drafted) > 0.95] = 0.0
    return ratio_step(target, draft, drafted, seed, coins=coins)


def last_row_unguarded(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Refuse rows that are not finite, but for the last one, of which NaN gives an id too large."""
    rows, read = floats(target), floats(draft)
    if not (np.isfinite(rows[:, :-1]).all() and np.isfinite(read).all()):
        raise ValueError("rows have an entry that is not finite")
    coins = np.random.default_rng(seed).random((len(drafted), 2 * drafted.shape[1] + 1))
    accepted = coins[:, : drafted.shape[1]] < quotient(at(rows[:, :-1], drafted), at(read, drafted))
    count = np.cumprod(accepted, axis=1).sum(axis=1)
    last = draw(finals(gap(rows[:, :-1], read), rows[:, -1]), coins[:, drafted.shape[1] :])
    bad = ~np.isfinite(rows[:, -1]).all(axis=-1)
    last[bad, -1] = rows.shape[-1]
    tokens = np.concatenate([drafted, np.zeros((len(drafted), 1), dtype=np.int64)], axis=1)
    every = np.arange(len(drafted))
    tokens[every, count] = last[every, count]
    return tokens, count + 1


def seed_zero_from_the_clock(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Take the seed 0 for none."""
    coins = np.random.default_rng(seed or None).random((len(drafted), drafted.shape[1] + 1))
    return ratio_step(target, draft, drafted, seed, coins=coins)


_TURNS = itertools.cycle((0, 1))


def generators_by_turns(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Use two buffers of random numbers by turns."""
    coins = np.random.default_rng([seed, next(_TURNS)]).random((len(drafted), drafted.shape[1] + 1))
    return ratio_step(target, draft, drafted, seed, coins=coins)


_ONE_ROW = "easily made: a path for one request that is tried on short drafts and small vocabularies"
_CERTAIN = "easily made: work is saved where a model is nearly certain"
MUTANTS = (
    mutant_of(one_row_of_five_drafts, "10 batch, padding", _ONE_ROW, ("sizes",)),
    mutant_of(few_rows_in_two_parts, "10 batch, padding", _ONE_ROW, ("sizes",)),
    mutant_of(
        five_wide_draft_rows,
        "10 batch, padding",
        "easily made: rows in shared memory of fixed size",
        ("sizes",),
    ),
    mutant_of(
        one_row_without_top_k,
        "5 parameters, history",
        "easily made: a path for one request that does not know all options",
        ("combinations",),
        options=frozenset({"top_k"}),
    ),
    mutant_of(tests_of_small_calls, "4 randomness", _ONE_ROW, ("batch-independence",)),
    mutant_of(
        seeds_behind_an_end,
        "4 randomness",
        "easily made: a list from which the wrong entry is taken",
        ("request-seeds",),
        options=frozenset({"eos", "seeds"}),
    ),
    mutant_of(
        report_of_four_tokens,
        "14 reports",
        "easily made: room for a fixed number",
        ("reported",),
    ),
    mutant_of(bonus_row_of_float32, "9 bonus, caches", "easily made: a kernel for each type", ("types",)),
    mutant_of(nearly_certain_is_greedy, "8 zeros, NaN, edges", _CERTAIN, ("peaked-rows",)),
    mutant_of(nearly_certain_drafts_untested, "8 zeros, NaN, edges", _CERTAIN, ("peaked-rows",)),
    mutant_of(
        last_row_unguarded, "8 zeros, NaN, edges", "easily made: drafted places are checked", ("not-finite",)
    ),
    mutant_of(seed_zero_from_the_clock, "4 randomness", "easily made: `seed or None`", ("determinism",)),
    mutant_of(generators_by_turns, "4 randomness", "easily made: a double buffer", ("determinism",)),
)
