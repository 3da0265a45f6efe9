"""NumPy in lockstep as a careful user writes it: Algorithm 1 in float64, all runs at once."""

from __future__ import annotations

import numpy as np

from benchmarks.contenders.base import Answer, Contender, Run, empty_answer
from specsim import ModelPair

_BLOCK = 4096


def contenders() -> list[Contender]:
    """Return the contender."""
    return [
        Contender(
            name="NumPy lockstep",
            note="Algorithm 1, float64 cumulative rows compared with uniforms, PCG64",
            prepare=_prepare,
        )
    ]


def _prepare(pair: ModelPair) -> Run:
    horizon, tokens = pair.horizon, pair.tokens
    draft_sums = np.cumsum(pair.draft, axis=2)
    residual_sums = np.cumsum(np.maximum(pair.target - pair.draft, 0.0), axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        acceptance = np.where(pair.draft > 0, np.minimum(1.0, pair.target / pair.draft), 1.0)
    initial_sums = np.cumsum(pair.initial)

    def search(sums: np.ndarray, rows: np.ndarray, levels: np.ndarray) -> np.ndarray:
        if tokens <= 64:
            return (sums[rows] <= levels[:, None]).sum(axis=1)
        # One sorted sequence for all rows: row r occupies [r, r + 1).
        width = sums[:, -1:] * (1 + 1e-12)
        joined = (sums / np.maximum(width, 1e-300) + np.arange(len(sums))[:, None]).ravel()
        found = np.searchsorted(joined, rows + levels / np.maximum(width[rows, 0], 1e-300), side="right")
        return np.minimum(found - rows * tokens, tokens - 1)

    def run(runs: int, seed: int) -> Answer:
        answer = empty_answer(pair)
        generator = np.random.default_rng(seed)
        for low in range(0, runs, _BLOCK):
            size = min(_BLOCK, runs - low)
            state = np.searchsorted(initial_sums, generator.random(size), side="right")
            rejections = np.zeros(size, np.int64)
            for step in range(horizon):
                index = 0 if pair.stationary else step
                token = search(draft_sums[index], state, generator.random(size))
                rejected = generator.random(size) >= acceptance[index][state, token]
                rows = state[rejected]
                levels = generator.random(len(rows)) * residual_sums[index][rows, -1]
                token[rejected] = search(residual_sums[index], rows, levels)
                rejections += rejected
                answer.by_step[step] += int(rejected.sum())
                answer.token_count[step] += np.bincount(token, minlength=tokens)
                state = token
            answer.rejection_count[:] += np.bincount(rejections, minlength=horizon + 1)
        return answer

    return run
