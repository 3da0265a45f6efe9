"""The lockstep engine: tables for stages of steps, chunks of runs for threads."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from specsim.engines.compiled.sizes import BLOCK, CHAIN_SPACE, LANES
from specsim.engines.lockstep.chain_tables import ChainTables, chain_tables
from specsim.engines.lockstep.plans import Plan, prepare
from specsim.engines.lockstep.tables import guide_bits, segments
from specsim.engines.request import Request
from specsim.engines.running.memory import available_bytes, require
from specsim.engines.running.stages import run_stages
from specsim.engines.tallies.tally import Shape, State, Tally, Work
from specsim.pairs import ModelPair

_CHUNK = 64 * 1024
_CHUNK_WORK = 2**25
_NEAR_BYTES = 2**21
_STAGED_STATE_BYTES = 2**27
_STATUS = {
    1: "an empty residual was reached, which the construction excludes",
    2: "255 retries of a residual draw failed, which has probability below 2^-255",
}


def check(request: Request) -> None:
    """Raise `InputError` when the engine cannot serve the request."""
    prepare(request.algorithm, request.pair, request.shape.horizon)


def run(
    request: Request,
    first_run: int,
    runs: int,
    *,
    threads: int,
    rejections_of_run: NDArray[np.int64] | None = None,
    progress: Callable[[int], object] | None = None,
    table_bytes: int | None = None,
) -> Tally:
    """Simulate some runs of a request; see `specsim.engines.request.Engine`.

    table_bytes: memory for tables. Defaults to None: half a gibibyte, or a quarter of what is available if
        that is less. Steps are processed in stages whose tables fit; the result does not depend on it.
    """
    from specsim.engines.compiled.jit import require_compiler

    require_compiler()
    pair, shape = request.pair, request.shape
    horizon = shape.horizon
    plan = prepare(request.algorithm, pair, horizon)
    step_bytes = plan.step_bytes(pair)
    if table_bytes is None:
        table_bytes = min(2**29, available_bytes() // 4)
    staged = plan.table_steps > 1
    stage_steps = min(horizon, max(1, table_bytes // step_bytes)) if staged else horizon
    kept_steps = min(stage_steps, plan.table_steps)
    chunk = _chunk_runs(plan, horizon, runs, threads)
    if shape.rounds and kept_steps * step_bytes <= _NEAR_BYTES:
        # The tables of all steps stay near while the counts of rounds of the chunk stay there, too.
        chunk = min(chunk, max(1, _NEAR_BYTES // (4 * (horizon + 1) * BLOCK)) * BLOCK)
    workers = min(threads, -(-runs // chunk))
    require(
        kept_steps * step_bytes + (workers + 1) * (shape.bytes + chunk * 4 * (horizon + 8)),
        f"tables and tallies of {workers} threads",
        "use fewer drafts, tokens, contexts or threads, or a shorter horizon",
    )

    return run_stages(
        _Engine(pair, plan, shape, request.seed),
        shape,
        first_run=first_run,
        runs=runs,
        chunk=chunk,
        group=max(chunk, _STAGED_STATE_BYTES // (4 * (horizon + 8)) // chunk * chunk),
        stage_steps=stage_steps,
        workers=workers,
        blocks=-(-chunk // BLOCK) if shape.rounds else 0,
        rejections_of_run=rejections_of_run,
        progress=progress,
    )


def _chunk_runs(plan: Plan, horizon: int, runs: int, threads: int) -> int:
    """Choose the runs of a chunk: some milliseconds of work, a bounded state, a share for every thread."""
    work = _CHUNK_WORK // (horizon * plan.drafts)
    memory = 2**24 // (horizon + 1)
    size = max(1, min(_CHUNK, max(256, work), memory))
    share = -(-runs // threads)
    return min(size, -(-share // 1024) * 1024)


class _Engine:
    """The kernel calls of one simulation."""

    def __init__(self, pair: ModelPair, plan: Plan, shape: Shape, seed: int) -> None:
        self.pair = pair
        self.plan = plan
        self.shape = shape
        self.seed = np.uint64(seed)
        self.next_context = pair.next_context.astype(np.uint32)
        self.initial = segments(pair.initial_weights[None])
        self.initial_shift = np.uint64(32 - guide_bits(pair.contexts))

    def tables(self, begin: int, end: int) -> ChainTables:
        """Build the tables of some steps."""
        return chain_tables(self.pair, self.plan, begin, end)

    def finish(self, state: State, tally: Tally) -> None:
        """Count what is known of runs only at their end."""
        tally.finish(state)

    def advance(self, state: State, tables: ChainTables, tally: Tally) -> None:
        """Advance the runs of a chunk over the steps of `tables`."""
        from specsim.engines.compiled.jit import space

        shape, plan, runs, counts = self.shape, self.plan, state.runs, tally.counts
        from specsim.engines.lockstep.kernels.chain import Contexts, Rules, advance

        status = advance(
            Work(self.seed, np.uint64(state.first), state.size, tables.begin, tables.end, shape.horizon),
            Rules(
                draft_length=plan.draft_length,
                bonus=plan.bonus,
                drafts=plan.drafts,
                rooted=plan.root is not None,
                shared=plan.shared,
                rounds=shape.rounds,
                outcomes=shape.outcomes,
                width=shape.tokens if shape.transitions else 0,
            ),
            Contexts(
                self.initial.last,
                self.initial.guide,
                self.initial_shift,
                self.next_context.ravel(),
                self.pair.is_markov,
            ),
            tables.arrays,
            runs,
            counts,
            space(*CHAIN_SPACE),
            np.empty(LANES, np.uint64),
        )
        if status:
            raise RuntimeError(f"lockstep engine: {_STATUS[status]}; please report this with the pair's file")
