"""NumPy in lockstep with the same alias tables and NumPy's fastest generator of words."""

from __future__ import annotations

import numpy as np

from benchmarks.contenders.base import Answer, Contender, Run, alias_tables, empty_answer
from specsim import ModelPair

_BLOCK = 4096


def contenders() -> list[Contender]:
    """Return the contender."""
    return [
        Contender(name="NumPy alias", note="collapsed alias tables, np.take, SFC64 words", prepare=_prepare)
    ]


def _prepare(pair: ModelPair) -> Run:
    entries, bits, initial, initial_bits = alias_tables(pair)
    half, tokens, horizon = bits - 1, pair.tokens, pair.horizon

    def draw(table: np.ndarray, bits: int, index: np.ndarray, words: np.ndarray) -> np.ndarray:
        mask = np.uint32(2**bits - 1)
        column = words & mask
        entry = table.take(index + column)
        return np.where((words | mask) < entry, column, entry & mask)

    def run(runs: int, seed: int) -> Answer:
        answer = empty_answer(pair)
        generator = np.random.Generator(np.random.SFC64(seed))
        for low in range(0, runs, _BLOCK):
            size = min(_BLOCK, runs - low)
            words = generator.integers(0, 2**32, size=(horizon + 1, size), dtype=np.uint32)
            row = draw(initial, initial_bits, np.zeros(size, np.uint32), words[0])
            rejections = np.zeros(size, np.uint32)
            for step in range(horizon):
                table = entries[step if len(entries) > 1 else 0]
                atom = draw(table, bits, row << np.uint32(bits), words[step + 1])
                rejected = atom >> np.uint32(half)
                row = atom & np.uint32(2**half - 1)
                rejections += rejected
                answer.by_step[step] += int(rejected.sum())
                answer.token_count[step] += np.bincount(row, minlength=tokens)
            answer.rejection_count[:] += np.bincount(rejections, minlength=horizon + 1)
        return answer

    return run
