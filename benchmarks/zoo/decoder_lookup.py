"""Decoders without a draft model: drafts are looked up in the text, and copied from there."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.zoo.model import Control, Mutant
from benchmarks.zoo.sampling import Floats, Integers, draw, floats
from specsim.validation.conformance.subjects import Subject

#: Tokens at the end of a text that are looked up.
GRAM = 4


def decode(
    models: Any, prompts: Any, new_tokens: int, seed: int, *, whole_target: bool = False
) -> tuple[Integers, list[list[int]]]:
    """Copy what came after the last `GRAM` tokens when they came before, and verify it token by token.

    whole_target: whether a rejected copy is replaced by a draw from the target as it is, from which the copy
        was not taken off.
    """
    given = np.asarray(prompts, dtype=np.int64)
    batch, length = given.shape
    drafts, rng = models.draft_length, np.random.default_rng(seed)
    text = np.zeros((batch, length + new_tokens + drafts + 1), dtype=np.int64)
    text[:, :length] = given
    ends, rounds = np.full(batch, length), [[] for _ in range(batch)]  # type: ignore[var-annotated]
    while (ends < length + new_tokens).any():
        going = np.flatnonzero(ends < length + new_tokens)
        copied = {b: _copied(text[b, : ends[b]], drafts) for b in going}
        for b, tokens in copied.items():
            text[b, ends[b] : ends[b] + len(tokens)] = tokens
        rows = floats(models.target(text[:, : int(ends.max()) + drafts]))
        uniforms = rng.random((batch, drafts + 1))
        for b in going:
            count, row = 0, rows[b, ends[b] - 1]
            while count < len(copied[b]) and uniforms[b, count] < row[copied[b][count]]:
                count += 1
                row = rows[b, ends[b] + count - 1]
            if count < len(copied[b]) and not whole_target:
                row = _without(row, copied[b][count])
            text[b, ends[b] + count] = draw(row[None], uniforms[b, -1:])[0]
            rounds[b].append(count)
            ends[b] += count + 1
    return text[:, length : length + new_tokens], rounds


def _copied(text: Integers, most: int) -> Integers:
    """Return what came after the last tokens of a text when they came before, the last time."""
    if len(text) > GRAM:
        windows = np.lib.stride_tricks.sliding_window_view(text[:-1], GRAM)
        found = np.flatnonzero((windows == text[-GRAM:]).all(axis=1))
        if len(found):
            return text[found[-1] + GRAM :][:most].copy()
    return text[:0]


def _without(row: Floats, token: int) -> Floats:
    """Return what is left of a row for the replacement of a token that was drafted for certain."""
    left = row.copy()
    left[token] = 0
    return left


MUTANTS = (
    Mutant(
        name="copies-replaced-from-target",
        description="a rejected copy is replaced by a draw from the whole target, and emitted too often",
        cite="easily made: a draft without probabilities, of which nothing seems to be taken off",
        bug_class="2 recovery law",
        subject=Subject(
            name="copies-replaced-from-target", protocol="decoder", run=partial(decode, whole_target=True)
        ),
        killed_by=("sizes",),
    ),
)

CONTROLS = (
    Control(
        name="lookup-decoder",
        description=f"copies of what came after the last {GRAM} tokens before, of probability 1",
        source="2211.17192, Algorithm 1 with one-hot drafts; prompt lookup",
        subject=Subject(name="lookup-decoder", protocol="decoder", run=decode),
    ),
)
