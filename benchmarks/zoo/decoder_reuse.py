"""Decoders that draft again what was after a rejected token, which is drafted already."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.zoo.controls_step import block_step, ratio_step
from benchmarks.zoo.decoders import COINS
from benchmarks.zoo.decoding import Cache, Written
from benchmarks.zoo.model import Control, Mutant
from benchmarks.zoo.sampling import Floats, Step, draw
from specsim.validation.conformance.rules.base import Rule
from specsim.validation.conformance.rules.lossless import BLOCK, RATIO
from specsim.validation.conformance.subjects import Subject


def decode(
    models: Any,
    prompts: Any,
    new_tokens: int,
    seed: int,
    *,
    step: Callable[..., Step] = ratio_step,
    own_rows: bool = True,
) -> Written:
    """Draft the tokens after a rejected one again in the next round, and only then fresh ones.

    own_rows: whether they are verified with the rows that they were drawn from, or with those of the text as
        it now is.
    """
    written = np.asarray(prompts, dtype=np.int64)
    batch, length = written.shape
    drafts = models.draft_length
    text = Cache(written, new_tokens + 2 * drafts + 2)
    rounds: list[list[int]] = [[] for _ in range(batch)]
    left = np.full((batch, drafts), -1)
    left_rows: Floats = np.zeros((batch, drafts, models.vocabulary))
    while (text.lengths < length + new_tokens).any():
        rng = np.random.default_rng([seed, int(text.lengths.sum())])
        drafted, read = np.zeros((batch, drafts), dtype=np.int64), left_rows.copy()
        for i in range(drafts):
            row = text.read(models.draft, i, np.array([i]))[:, 0]
            old = left[:, i] >= 0
            fresh = ~old if own_rows else np.ones(batch, dtype=bool)
            read[fresh, i] = row[fresh]
            drafted[:, i] = np.where(old, left[:, i], draw(row, rng.random((batch,))))
            text.put(drafted[:, i], i)
        target = text.read(models.target, drafts, np.arange(drafts + 1))
        tokens, counts = step(target, read, drafted, int(rng.integers(2**31)))
        counts = np.where(text.lengths < length + new_tokens, counts, 0)
        left[:] = -1
        for b in np.flatnonzero(counts):
            size = int(counts[b])
            rounds[b].append(size - 1)
            kept = max(drafts - size, 0)
            left[b, :kept] = drafted[b, size:]
            left_rows[b, :kept] = read[b, size:]
        text.append(tokens, counts)
    return text.tokens[:, length : length + new_tokens], rounds


def _subject(name: str, rule: Rule | None, **options: Any) -> Subject:
    return Subject(name=name, protocol="decoder", run=partial(decode, **options), rule=rule)


MUTANTS = (
    Mutant(
        name="old-drafts-new-rows",
        description="drafts of the round before are verified with draft rows that they were not drawn from",
        cite="easily made: drafts that are kept, and rows that are computed anew",
        bug_class="1 draft law",
        subject=_subject("old-drafts-new-rows", RATIO, own_rows=False),
        killed_by=("joint-law", "rounds"),
    ),
    Mutant(
        name="old-drafts-in-blocks",
        description="drafts after a rejected token are drafted again, which the block before has looked at",
        cite="easily made: what the ratio rule allows, with another rule",
        bug_class=COINS,
        subject=_subject("old-drafts-in-blocks", BLOCK, step=block_step),
        killed_by=("rounds",),
    ),
)

CONTROLS = (
    Control(
        name="old-drafts-own-rows",
        description="drafts after a rejected token are drafted again, with the rows they were drawn from",
        source="2211.17192, Algorithm 1: what is after the first rejection is dropped unread",
        # No rule: the accepted lengths are those of drafts from rows of another text.
        subject=_subject("old-drafts-own-rows", None),
    ),
)
