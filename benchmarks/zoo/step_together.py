"""Verification steps in which each option is right alone, and wrong with another one or at some sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.zoo import asked
from benchmarks.zoo.controls_step import fallback_step, ratio_step
from benchmarks.zoo.model import Mutant, mutant_of
from benchmarks.zoo.sampling import Step, draw, filtered, floats


def ragged_bonus_unfiltered(
    target: Any, draft: Any, drafted: Any, seed: int, draft_lengths: Any = None, top_k: int | None = None
) -> Step:
    """Draw the bonus token after a ragged draft from all tokens, whatever top-k is."""
    tokens, lengths = ratio_step(target, draft, drafted, seed, draft_lengths, top_k=top_k)
    if draft_lengths is not None:
        rows = np.flatnonzero(lengths - 1 == draft_lengths)
        coins = np.random.default_rng([seed, 1]).random(len(rows))
        tokens[rows, lengths[rows] - 1] = draw(floats(target)[rows, lengths[rows] - 1], coins)
    return tokens, lengths


def min_p_beside_top_p(
    target: Any, draft: Any, drafted: Any, seed: int, top_p: float | None = None, min_p: float | None = None
) -> Step:
    """Drop min-p where there is top-p."""
    target, draft = (filtered(floats(rows), top_p=top_p) for rows in (target, draft))
    if top_p is None:
        target, draft = asked.kept(target, min_p), asked.kept(draft, min_p)
    return ratio_step(target, draft, drafted, seed)


def batch_without_draft_rows(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Without draft rows, in calls of more than 64 rows, give all rows the bonus token of the first."""
    tokens, lengths = fallback_step(target, draft, drafted, seed)
    if draft is None and len(drafted) > 64:
        whole = lengths == drafted.shape[1] + 1
        coins = np.random.default_rng([seed, 1]).random(int(whole.sum()))
        tokens[whole, -1] = draw(np.repeat(floats(target)[:1, -1], len(coins), axis=0), coins)
    return tokens, lengths


def map_of_eight_bits(target: Any, draft: Any, drafted: Any, seed: int, d2t: Any = None) -> Step:
    """Keep eight bits of the ids to which the tokens of a smaller vocabulary are mapped."""
    if d2t is not None:
        draft = asked.scattered(floats(draft), np.asarray(d2t) & 0xFF, np.asarray(target).shape[-1])
    return ratio_step(target, draft, drafted, seed)


def processing_forgotten_beside_eos(
    target: Any, draft: Any, drafted: Any, seed: int, eos: int | None = None
) -> Step:
    """Process the rows of bonus tokens only where no end of text is given."""
    rows, read = _doubled(floats(target)), _doubled(floats(draft))
    if eos is not None:
        rows[:, -1] = floats(target)[:, -1]
    tokens, lengths = ratio_step(rows, read, drafted, seed)
    if eos is not None:
        ended = (tokens == eos) & (np.arange(tokens.shape[1]) < lengths[:, None])
        lengths = np.where(ended.any(axis=1), ended.argmax(axis=1) + 1, lengths)
    return tokens, lengths


def end_is_no_bonus_token_alone(
    target: Any, draft: Any, drafted: Any, seed: int, eos: int | None = None
) -> Step:
    """In a call of one row, take the end of text out of the row of the bonus token."""
    target = floats(target)
    if eos is not None and len(target) == 1:
        target[:, -1, eos] = 0.0
    tokens, lengths = ratio_step(target, draft, drafted, seed)
    if eos is not None:
        ended = (tokens == eos) & (np.arange(tokens.shape[1]) < lengths[:, None])
        lengths = np.where(ended.any(axis=1), ended.argmax(axis=1) + 1, lengths)
    return tokens, lengths


def _doubled(rows: Any) -> Any:
    """Give token 0 twice its probability before it is normalised."""
    changed = floats(rows)
    changed[..., 0] *= 2
    return changed / changed.sum(axis=-1, keepdims=True)


def _doubled_by_text(tokens: Any, rows: Any) -> Any:
    changed = rows.copy()
    changed[:, 0] *= 2
    return changed


def _mutant(run: Callable[..., Step], bug_class: str, cite: str, *options: str, **fields: Any) -> Mutant:
    return mutant_of(run, bug_class, cite, ("combinations",), options=frozenset(options), **fields)


_PARAMETERS = "5 parameters, history"
MUTANTS = (
    _mutant(
        ragged_bonus_unfiltered,
        _PARAMETERS,
        "vllm-project/vllm#44292, with a filter in place of a grammar",
        "draft_lengths",
        "top_k",
    ),
    _mutant(min_p_beside_top_p, _PARAMETERS, "easily made: one filter at a time", "top_p", "min_p"),
    _mutant(
        batch_without_draft_rows,
        "9 bonus, caches",
        "easily made: a branch for greedy drafts that is tried on small batches",
        draft="optional",
    ),
    _mutant(map_of_eight_bits, "12 vocabulary map", "easily made: ids in a narrow type", "d2t"),
    _mutant(
        processing_forgotten_beside_eos,
        _PARAMETERS,
        "easily made: two branches, one of which is not processed",
        "eos",
        process=_doubled_by_text,
    ),
    _mutant(
        end_is_no_bonus_token_alone,
        "9 bonus, caches",
        "easily made: a least number of tokens that one branch applies always",
        "eos",
    ),
)
