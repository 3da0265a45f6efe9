"""What is simulated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from specsim import ModelPair, paper_pair, random_pair


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A pair, and how many tokens a timed call should emit.

    Attributes
    ----------
    name
        Short, unique.
    pair
        Builds the pair.
    least_tokens_per_second
        What is asked of specsim's fastest engine, per core.
    slow_batch
        Whether theory of batches takes seconds, so that a quick benchmark leaves it out.
    """

    name: str
    pair: Callable[[], ModelPair]
    least_tokens_per_second: float
    slow_batch: bool = False


WORKLOADS = [
    Workload(name="S=7 T=50", pair=lambda: paper_pair(50), least_tokens_per_second=1.2e9),
    Workload(
        name="S=64 T=128",
        pair=lambda: random_pair(contexts=64, horizon=128, seed=1),
        least_tokens_per_second=0.4e9,
    ),
    Workload(
        name="S=1024 T=64 stationary",
        pair=lambda: random_pair(contexts=1024, horizon=64, seed=1, stationary=True),
        least_tokens_per_second=0.25e9,
        slow_batch=True,
    ),
]
