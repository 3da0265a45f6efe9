"""specsim's literal engine through torch, on the processor and, where there is one, on a CUDA device."""

from __future__ import annotations

import importlib.util

from benchmarks.contenders.base import Answer, Contender, Run
from specsim import ModelPair, Speculative
from specsim.engines.tallies.tally import Shape
from specsim.engines.torch.engine import run_torch


def contenders() -> list[Contender]:
    """Return the contenders, or nothing when torch is not installed."""
    if importlib.util.find_spec("torch") is None:
        return []
    import torch

    found = [_contender("torch literal", "cpu", "on the processor")]
    if torch.cuda.is_available():
        found.append(_contender("torch literal, CUDA", "cuda", torch.cuda.get_device_name()))
    return found


def _contender(name: str, device: str, where: str) -> Contender:
    return Contender(
        name=name,
        note=f"Algorithm 1 step by step, Philox4x32-10, the same bits as specsim literal; {where}",
        prepare=lambda pair: _run(pair, device),
        builds_tables=True,
        # One search in a sorted list per token instead.
        gathers=False,
        wall=device != "cpu",
    )


def _run(pair: ModelPair, device: str) -> Run:
    shape = Shape.of(pair, pair.horizon, None, "rejections")

    def run(runs: int, seed: int) -> Answer:
        tally = run_torch(
            pair,
            Speculative(),
            shape,
            seed=seed,
            first_run=0,
            runs=runs,
            threads=1,
            rejections_of_run=None,
            progress=None,
            device=device,
        )
        return Answer(
            by_step=tally.rejections_by_step,
            rejection_count=tally.rejection_count,
            token_count=tally.tokens,
        )

    return run
