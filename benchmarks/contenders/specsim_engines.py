"""specsim itself, through `specsim.simulate`, tables and labels included."""

from __future__ import annotations

import os

from benchmarks.contenders.base import Answer, Contender, Run
from specsim import ModelPair, Speculative, simulate
from specsim.engines.alias.engine import PATH_VARIABLE
from specsim.engines.compiled.cpu import permutes_bytes


def contenders() -> list[Contender]:
    """Return the engines."""
    found = [
        Contender(
            name="specsim lockstep",
            note="Algorithm 1 step by step, Philox4x32-10",
            builds_tables=True,
            prepare=lambda pair: _run(pair, "lockstep", None),
        ),
        Contender(
            name="specsim alias",
            note="collapsed alias tables, gathers, Philox4x32-10, one word per token",
            prepare=lambda pair: _run(pair, "alias", "gather"),
        ),
    ]
    if permutes_bytes():
        found.append(
            Contender(
                name="specsim permute",
                note="the same, tables in registers (at most 8 tokens)",
                gathers=False,
                prepare=lambda pair: _run(pair, "alias", "permute") if pair.tokens <= 8 else None,
            )
        )
    return found


def _run(pair: ModelPair, engine: str, path: str | None) -> Run:
    def run(runs: int, seed: int) -> Answer:
        before = os.environ.pop(PATH_VARIABLE, None)
        if path is not None:
            os.environ[PATH_VARIABLE] = path
        try:
            result = simulate(
                pair, Speculative(), runs=runs, seed=seed, engine=engine, threads=1, tallies="rejections"
            )
        finally:
            os.environ.pop(PATH_VARIABLE, None)
            if before is not None:
                os.environ[PATH_VARIABLE] = before
        return Answer(
            by_step=result.rejections_by_step.values,
            rejection_count=result.rejection_count.values,
            token_count=result.token_count.values,
        )

    return run
