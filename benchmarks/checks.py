"""Whether a contender's counts have the law that theory computes."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.contenders.base import Answer
from specsim import ModelPair, Speculative
from specsim.algorithms import Algorithm

#: Chance that a right contender is refused, over all comparisons of one answer.
ALPHA = 1e-9


def laws(pair: ModelPair, algorithm: Algorithm | None = None) -> dict[str, np.ndarray]:
    """Return the exact probabilities after each count of an `Answer`, of Algorithm 1 unless stated."""
    from specsim import theory

    algorithm = algorithm or Speculative()
    return {
        "by_step": np.asarray(theory.rejections_by_step(pair, algorithm), float),
        "rejection_count": np.asarray(theory.rejection_law(pair, algorithm), float),
        "token_count": np.asarray(theory.target_marginals(pair), float)[: pair.horizon],
    }


def disagreement(answer: Answer, runs: int, expected: dict[str, np.ndarray]) -> str | None:
    """Name the worst disagreement, or return None; exact binomial tails, Bonferroni over all counts."""
    from scipy.stats import binom

    size = sum(law.size for law in expected.values())
    worst: tuple[float, str] = (1.0, "")
    for name, law in expected.items():
        counts: Any = getattr(answer, name)
        if counts.shape != law.shape:
            return f"{name} has shape {counts.shape}, not {law.shape}"
        probability = np.clip(law, 0.0, 1.0)
        tails = np.minimum(binom.cdf(counts, runs, probability), binom.sf(counts - 1, runs, probability))
        index = np.unravel_index(int(np.argmin(tails)), tails.shape)
        if tails[index] < worst[0]:
            place = f"{name}{list(map(int, index))}"
            worst = (
                float(tails[index]),
                f"{place} is {counts[index] / runs:.6g}, expected {law[index]:.6g}",
            )
    totals = {"rejection_count": runs, "token_count": runs * len(answer.by_step)}
    for name, total in totals.items():
        if int(getattr(answer, name).sum()) != total:
            return f"{name} sums to {int(getattr(answer, name).sum())}, not {total}"
    return worst[1] if worst[0] < ALPHA / (2 * size) else None
