"""Prompts that look alike in part, for caches of what prompts share and for drafts that are looked up."""

from __future__ import annotations

import numpy as np

from specsim.support.arrays import Integers

#: Most tokens that are repeated in a prompt.
LONGEST_PERIOD = 6
#: Tokens of the blocks that prompts are made of, and how many different blocks there are.
BLOCKS, DIFFERENT = (8, 16), (2, 3)
#: How the prompts of a call go together.
TOGETHER = ("unlike prompts", "prompts that begin alike", "prompts of the same blocks")


def repeating(rng: np.random.Generator, prompts: Integers) -> tuple[Integers, Integers]:
    """Let half of the prompts ``(B, n)`` repeat their last few tokens, for drafts that are looked up in them.

    Returns: the prompts, and after how many tokens each repeats itself, 0 if it does not.
    """
    rows, length = prompts.shape
    drawn = rng.integers(1, LONGEST_PERIOD + 1, size=rows)
    periods: Integers = np.where((rng.random(rows) < 0.5) & (drawn < length), drawn, 0)
    # Counted from the end, so that each ends with a whole period.
    place = length - 1 - (length - 1 - np.arange(length)) % np.where(periods > 0, periods, length)[:, None]
    return np.take_along_axis(prompts, place, axis=1), periods


def drawn_prompts(
    rng: np.random.Generator, rows: int, length: int, vocabulary: int
) -> tuple[Integers, Integers, int]:
    """Draw the prompts of a call.

    Returns: the prompts ``(rows, length)``, their periods as in `repeating`, and an index into `TOGETHER`.
    """
    together = int(rng.integers(len(TOGETHER)))
    if together == 2 and length >= 2 * BLOCKS[0]:
        return of_blocks(rng, rows, length, vocabulary), np.zeros(rows, dtype=np.int64), together
    prompts, periods = repeating(rng, rng.integers(0, vocabulary, size=(rows, length)))
    if together == 1 and length > 1:
        # Of any length: what is shared ends within a page.
        shared = int(rng.integers(1, length))
        prompts[:, :shared] = prompts[:1, :shared]
        return prompts, np.where(length - shared >= 2 * periods, periods, 0), together
    return prompts, periods, 0


def of_blocks(rng: np.random.Generator, rows: int, length: int, vocabulary: int) -> Integers:
    """Draw prompts ``(rows, length)`` of few blocks: equal ones stand after unlike ones, at any place."""
    size = BLOCKS[1] if length >= 2 * BLOCKS[1] and rng.random() < 0.7 else BLOCKS[0]
    blocks = rng.integers(0, vocabulary, size=(int(rng.choice(DIFFERENT)), size))
    order = rng.integers(0, len(blocks), size=(rows, -(-length // size)))
    return np.asarray(blocks[order].reshape(rows, -1)[:, :length])
