"""Decoders that remember wrongly: text that is read back, coins that are used again, and their right kin."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.zoo.controls_step import block_step, ratio_step
from benchmarks.zoo.decoders import BATCH, CACHES, COINS, PROMPTS
from benchmarks.zoo.decoding import Mistakes, Written, decode
from benchmarks.zoo.model import Control, Mutant, mutant_of
from specsim.validation.conformance.rules.base import Rule
from specsim.validation.conformance.rules.lossless import BLOCK, RATIO
from specsim.validation.conformance.subjects import Subject

#: Tokens that are prefilled at once, and texts of a call.
CHUNK, CALL = 100, 600


def chunk_lost(models: Any, prompts: Any, new_tokens: int, seed: int) -> Written:
    """Prefill long prompts in chunks, and let both models see the last chunk only."""
    given = np.asarray(prompts)
    if given.shape[1] > CHUNK:
        given = given.copy()
        given[:, : given.shape[1] // CHUNK * CHUNK] = 0
    return decode(models, given, new_tokens, seed)


def long_drafts_unverified(models: Any, prompts: Any, new_tokens: int, seed: int) -> Written:
    """Verify eight drafted tokens; those after them are accepted."""

    def step(target: Any, draft: Any, drafted: Any, seed: int) -> Any:
        target = np.array(target)
        target[:, 8 : drafted.shape[1]] = draft[:, 8:]
        return ratio_step(target, draft, drafted, seed)

    return decode(models, prompts, new_tokens, seed, step=step)


def calls_of_many(models: Any, prompts: Any, new_tokens: int, seed: int) -> Written:
    """Cut large calls into pieces, and give every piece the prompts of the first."""
    given = np.asarray(prompts)
    return decode(models, given[np.arange(len(given)) % CALL], new_tokens, seed)


def chunks_right(models: Any, prompts: Any, new_tokens: int, seed: int) -> Written:
    """Cut large calls into pieces that have nothing in common."""
    given = np.asarray(prompts)
    parts = [
        decode(
            models,
            given[begin : begin + CALL],
            new_tokens,
            int(np.random.SeedSequence([seed, begin]).generate_state(1)[0]),
        )
        for begin in range(0, len(given), CALL)
    ]
    return np.concatenate([tokens for tokens, _ in parts]), [row for _, rows in parts for row in rows]


def _mutant(
    name: str,
    bug_class: str,
    description: str,
    cite: str,
    run: Any,
    killed_by: tuple[str, ...],
    rule: Rule | None = RATIO,
) -> Mutant:
    return mutant_of(
        run, bug_class, cite, killed_by, name=name, description=description, protocol="decoder", rule=rule
    )


def _forgets(**mistakes: Any) -> Any:
    return partial(decode, mistakes=Mistakes(**mistakes))


_KEPT = "vllm-project/vllm 0.30.0, V2 runner, rejection_sample_method='block': coins of (seed, position)"

MUTANTS = (
    _mutant(
        "stale-pages",
        CACHES,
        "tokens more than two back are read as zeros: the page they are on was overwritten",
        "vllm-project/vllm#53505",
        _forgets(stale_page=2),
        ("whole-prefix", "sizes"),
    ),
    _mutant(
        "stale-pages-of-16",
        CACHES,
        "pages of 16 tokens are overwritten once they are full",
        "vllm-project/vllm#53505",
        _forgets(stale_page=16),
        ("whole-prefix", "sizes"),
    ),
    _mutant(
        "stale-pages-of-256",
        CACHES,
        "pages of 256 tokens are overwritten once they are full",
        "vllm-project/vllm#53505",
        _forgets(stale_page=256),
        ("sizes",),
    ),
    _mutant(
        "state-keeps-rejected",
        CACHES,
        "a recurrent state has gone through rejected tokens, and goes on from there",
        "vllm-project/tpu-inference#3178; vllm-project/vllm#39273",
        _forgets(state_keeps_rejected=True),
        ("transitions", "whole-prefix"),
    ),
    _mutant(
        "cache-reset",
        CACHES,
        "the target's cache is emptied before the drafted tokens are verified",
        "paiml/aprender#2014",
        _forgets(forget_before_test=True),
        ("joint-law", "whole-prefix"),
    ),
    _mutant(
        "first-token-greedy",
        "7 greedy at temperature > 0",
        "the first token after the prompt is the target's likeliest",
        "Luce-Org/lucebox#374",
        _forgets(greedy_first=True),
        ("joint-law", "whole-prefix"),
    ),
    _mutant(
        "rows-not-moved",
        BATCH,
        "when texts end and others take their places, draft rows remain",
        "vllm-project/vllm#41044 (review)",
        _forgets(rows_not_moved=True),
        ("whole-prefix",),
    ),
    _mutant(
        "prompt-chunk-lost",
        PROMPTS,
        "of a prompt of more than a hundred tokens only the last chunk is seen",
        "easily made: chunked prefill that starts a cache anew; compare paiml/aprender#2014",
        chunk_lost,
        ("sizes",),
    ),
    _mutant(
        "decoder-drafts-behind-eight",
        "3 acceptance",
        "after eight drafted tokens the others are accepted",
        "easily made: a mask for a fixed number of drafts; compare vllm-project/vllm-ascend#9221",
        long_drafts_unverified,
        ("sizes",),
    ),
    _mutant(
        "decoder-prompts-of-first-piece",
        BATCH,
        "a call of more than six hundred texts is cut, and every piece has the prompts of the first",
        "easily made: a loop over pieces that slices its input once",
        calls_of_many,
        ("sizes",),
    ),
    _mutant(
        "block-coins-kept",
        COINS,
        "blocks verified with one coin per place in the text: those that failed are used again",
        _KEPT,
        partial(decode, step=block_step, coins_of="place"),
        ("rounds",),
        BLOCK,
    ),
    _mutant(
        "greedy-block-coins-kept",
        COINS,
        "the same with greedy drafts",
        _KEPT,
        partial(decode, step=block_step, coins_of="place", greedy=True),
        ("rounds", "joint-law"),
        None,
    ),
    _mutant(
        "block-drafts-kept",
        COINS,
        "blocks whose drafts have the noise of their place: those that were rejected are drawn again",
        "vllm-project/vllm 0.30.0, V2 runner: draft noise of (seed, position); 0.33.0 adds the step",
        partial(decode, step=block_step, drafts_kept=True),
        ("rounds",),
        BLOCK,
    ),
    _mutant(
        "failed-coin-kept",
        COINS,
        "the coin that rejected a token tests the first drafted token of the next round",
        "easily made: coins counted by accepted drafts, forgetting the token that replaces one",
        partial(decode, coins_of="draft"),
        ("transitions", "rounds"),
    ),
)


def _control(name: str, description: str, source: str, run: Any, rule: Rule | None = None) -> Control:
    subject = Subject(name=name, protocol="decoder", run=run, rule=rule)
    return Control(name=name, description=description, source=source, subject=subject)


CONTROLS = (
    _control(
        "decoder-ratio-coins-by-place",
        "one coin per place in the text, with the ratio rule, which never asks a failed coin again",
        "vllm-project/vllm, token-wise rejection with coins of (seed, position)",
        partial(decode, coins_of="place"),
        RATIO,
    ),
    _control(
        "decoder-ratio-drafts-kept",
        "drafts with the noise of their place, and the ratio rule, which never looked at those it drops",
        "vllm-project/vllm 0.30.0, V2 runner: draft noise of (seed, position), token-wise rejection",
        partial(decode, drafts_kept=True),
        RATIO,
    ),
    _control(
        "decoder-block-greedy",
        "blocks of greedy drafts, with fresh coins in every round",
        "vllm-project/vllm 0.33.0, V2 runner, rejection_sample_method='block'",
        partial(decode, step=block_step, greedy=True),
    ),
    _control(
        "decoder-in-pieces",
        "a large call is cut into pieces with seeds of their own",
        "easily taken for rows of another request",
        chunks_right,
    ),
)
