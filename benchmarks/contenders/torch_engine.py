"""specsim's lockstep engine through torch, on the processor and, where there is one, on a CUDA device."""

from __future__ import annotations

import importlib.util

from benchmarks.contenders.base import Answer, Contender, Run
from specsim import ModelPair, Speculative, simulate


def contenders() -> list[Contender]:
    """Return the contenders, or nothing when torch is not installed."""
    if importlib.util.find_spec("torch") is None:
        return []
    import torch

    found = [_contender("torch lockstep", "cpu", "on the processor")]
    if torch.cuda.is_available():
        found.append(_contender("torch lockstep, CUDA", "cuda", torch.cuda.get_device_name()))
    return found


def _contender(name: str, device: str, where: str) -> Contender:
    return Contender(
        name=name,
        note=f"Algorithm 1 step by step, Philox4x32-10, the same bits as specsim lockstep; {where}",
        prepare=lambda pair: _run(pair, device),
        builds_tables=True,
        # One search in a sorted list per token instead.
        gathers=False,
        wall=device != "cpu",
    )


def _run(pair: ModelPair, device: str) -> Run:
    def run(runs: int, seed: int) -> Answer:
        result = simulate(
            pair,
            Speculative(),
            runs=runs,
            seed=seed,
            engine="torch",
            threads=1,
            tallies="rejections",
            device=device,
        )
        return Answer(
            by_step=result.rejections_by_step.values,
            rejection_count=result.rejection_count.values,
            token_count=result.token_count.values,
        )

    return run
