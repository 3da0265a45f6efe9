"""Decoders whose first round is right; later rounds share random numbers with other rows or calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.zoo.controls_step import ratio_step
from benchmarks.zoo.decoders import COINS
from benchmarks.zoo.decoding import Cache, Written
from benchmarks.zoo.model import Control, Mutant, mutant_of
from benchmarks.zoo.sampling import draw
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject

#: What seeds the generator of a row in a round: of the call's seed, the row and the number of the round.
Words = Callable[[int, int, int], list[int]]


def decode(models: Any, prompts: Any, new_tokens: int, seed: int, *, words: Words) -> Written:
    """Follow the ratio rule, with a generator for each row in each round."""
    written = np.asarray(prompts, dtype=np.int64)
    batch, length = written.shape
    drafts = models.draft_length
    text = Cache(written, new_tokens + 2 * drafts + 2)
    rounds: list[list[int]] = [[] for _ in range(batch)]
    number = 0
    while (text.lengths < length + new_tokens).any():
        streams = [np.random.default_rng(words(seed, row, number)) for row in range(batch)]
        uniforms = np.stack([stream.random(2 * drafts + 1) for stream in streams])
        drafted = np.zeros((batch, drafts), dtype=np.int64)
        read = np.zeros((batch, drafts, models.vocabulary))
        for i in range(drafts):
            read[:, i] = text.read(models.draft, i, np.array([i]))[:, 0]
            drafted[:, i] = draw(read[:, i], uniforms[:, i])
            text.put(drafted[:, i], i)
        target = text.read(models.target, drafts, np.arange(drafts + 1))
        tokens, counts = ratio_step(target, read, drafted, seed, coins=uniforms[:, drafts:])
        counts = np.where(text.lengths < length + new_tokens, counts, 0)
        for b in np.flatnonzero(counts):
            rounds[b].append(int(counts[b]) - 1)
        text.append(tokens, counts)
        number += 1
    return text.tokens[:, length : length + new_tokens], rounds


def _subject(name: str, words: Words) -> Subject:
    return Subject(name=name, protocol="decoder", run=partial(decode, words=words), rule=RATIO)


def _mutant(name: str, description: str, words: Words, killed_by: str) -> Mutant:
    cite = "easily made: a state that is set up again after the first round"
    run = partial(decode, words=words)
    return mutant_of(run, COINS, cite, (killed_by,), name=name, description=description, protocol="decoder")


MUTANTS = (
    _mutant(
        "later-rounds-by-row-pairs",
        "from the second round on, rows 2 b and 2 b + 1 have one generator",
        lambda seed, row, number: [seed, row if number == 0 else row // 2, number],
        "batch-independence",
    ),
    _mutant(
        "later-rounds-of-eight-bits",
        "from the second round on, eight bits of the seed are kept",
        lambda seed, row, number: [seed if number == 0 else seed & 0xFF, row, number],
        "seed-independence",
    ),
    _mutant(
        "seed-and-round-added",
        "the generator of a round is seeded with seed + round",
        lambda seed, row, number: [seed + number, row],
        "seed-independence",
    ),
    _mutant(
        "seed-and-thousand-rounds",
        "the generator of a round is seeded with seed + 1000 * round",
        lambda seed, row, number: [seed + 1000 * number, row],
        "repeated-draws",
    ),
)

CONTROLS = (
    Control(
        name="stream-for-each-round",
        description="a generator for each row in each round, seeded with all three numbers",
        source="the mutants of this file, done right",
        subject=_subject("stream-for-each-round", lambda seed, row, number: [seed, row, number]),
    ),
)
