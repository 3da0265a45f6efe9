"""Batch decoding (Algorithm 4) with several candidates per root, by the lockstep and by the alias engine.

Timed with the tallies of the other engines' benchmark, and again with those that `simulate` makes by default.
"""

from __future__ import annotations

from functools import partial

from benchmarks.contenders.base import Answer, Contender, Run
from specsim import Batch, ModelPair, simulate
from specsim.engines.tallies.tally import Tallies

DRAFTS = (1, 4, 16)
#: Ending of the names of contenders with the tallies of the default.
ALL = ", all tallies"
_TALLIES: tuple[Tallies, ...] = ("rejections", "all")


def contenders() -> list[Contender]:
    """Return both engines with every number of drafts."""
    return [
        Contender(
            name=f"{engine} M={drafts}{ALL if tallies == 'all' else ''}",
            note=f"Algorithm 4, engine {engine}, Philox4x32-10",
            builds_tables=engine == "lockstep",
            algorithm=Batch(drafts=drafts),
            prepare=partial(_run, engine=engine, drafts=drafts, tallies=tallies),
        )
        for engine in ("lockstep", "alias")
        for tallies in _TALLIES
        for drafts in DRAFTS
    ]


def _run(pair: ModelPair, engine: str, drafts: int, tallies: Tallies) -> Run:
    def run(runs: int, seed: int) -> Answer:
        result = simulate(
            pair, Batch(drafts=drafts), runs=runs, seed=seed, engine=engine, threads=1, tallies=tallies
        )
        return Answer(
            by_step=result.rejections_by_step.values,
            rejection_count=result.rejection_count.values,
            token_count=result.token_count.values,
        )

    return run
