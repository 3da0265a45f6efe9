"""The alias engine: one gather per token from tables of the collapsed law; fast, and no witness.

That the collapsed law is the law of the published algorithm is what Theorem 1 of 2411.00841 proves; the
lockstep engine, which uses no theorem, and the exact theory are what this engine is compared with.

Run r reads, for position n, word ``n % 4`` of the Philox block with counter
``(n // 4, 2^30, r mod 2^32, r div 2^32)``; position 0 is the prompt. No other engine uses these counters.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from specsim.engines.alias.tables import AliasTables, Layout, build_tables, byte_planes, column_bits, pack
from specsim.engines.compiled.cpu import permutes_bytes
from specsim.engines.compiled.sizes import ALIAS_SPACE, LANES, PERMUTE_SPACE, ROUNDS_SPACE
from specsim.engines.lockstep.plans import Plan, prepare
from specsim.engines.request import Request
from specsim.engines.running.memory import available_bytes, require
from specsim.engines.running.stages import run_stages
from specsim.engines.tallies.tally import Shape, State, Tally, Work
from specsim.errors import UnsupportedError
from specsim.pairs import ModelPair

_CHUNK_TOKENS = 2**22
_STAGED_STATE_BYTES = 2**27
_NARROW_ENTRIES = 2**31
_PERMUTED_TOKENS = 8
#: Environment variable that asks for a kernel by name.
PATH_VARIABLE = "SPECSIM_ALIAS_PATH"


def check(request: Request) -> None:
    """Raise `UnsupportedError` when the algorithm has no collapsed law of one position."""
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

    Parameters
    ----------
    table_bytes
        Memory for tables. Defaults to None: a quarter of what is available. Steps are processed in stages
        whose tables fit; the result does not depend on it. A step takes ``4 * 2**bits`` bytes per context,
        with ``2**bits`` at least twice the number of tokens, times 1, 2 or 3 kinds of positions.

    The variable SPECSIM_ALIAS_PATH asks for a kernel by name instead of the fastest that serves; the result
    does not depend on it.

    Raises
    ------
    UnsupportedError
        The kernel asked for does not serve.
    """
    from specsim.engines.compiled.jit import require_compiler

    require_compiler()
    pair, shape = request.pair, request.shape
    plan = prepare(request.algorithm, pair, shape.horizon)
    horizon = shape.horizon
    layout = Layout.of(pair, plan)
    step_bytes = layout.step_bytes
    if table_bytes is None:
        table_bytes = available_bytes() // 4
    staged = plan.table_steps > 1
    stage_steps = min(horizon, max(1, table_bytes // step_bytes)) if staged else horizon
    kept_steps = min(stage_steps, plan.table_steps)
    run_bytes = 8 * horizon + 64 if shape.rounds else 16
    chunk = _chunk_runs(horizon, run_bytes, runs, threads)
    workers = min(threads, -(-runs // chunk))
    require(
        kept_steps * step_bytes
        + layout.scratch_bytes(pair)
        + (workers + 1) * (shape.bytes + chunk * run_bytes),
        f"alias tables of {kept_steps} steps and tallies of {workers} threads",
        "use fewer tokens, contexts or threads, or a shorter horizon",
    )

    return run_stages(
        _Engine(pair, plan, layout, shape, request.seed),
        shape,
        first_run=first_run,
        runs=runs,
        chunk=chunk,
        group=max(chunk, _STAGED_STATE_BYTES // run_bytes // chunk * chunk),
        stage_steps=stage_steps,
        workers=workers,
        # One for all blocks of a chunk, which stays in the near caches.
        blocks=int(shape.rounds),
        rejections_of_run=rejections_of_run,
        progress=progress,
    )


def _chunk_runs(horizon: int, run_bytes: int, runs: int, threads: int) -> int:
    """Choose the runs of a chunk: some milliseconds of work, a bounded state, a share for every thread."""
    size = max(2048, min(_CHUNK_TOKENS // horizon, 2**24 // run_bytes) // 2048 * 2048)
    share = -(-runs // threads)
    return min(size, -(-share // 2048) * 2048)


class _Engine:
    """The kernel calls of one simulation."""

    def __init__(
        self,
        pair: ModelPair,
        plan: Plan,
        layout: Layout,
        shape: Shape,
        seed: int,
    ) -> None:
        self.pair = pair
        self.plan = plan
        self.layout = layout
        self.shape = shape
        self.seed = np.uint64(seed)
        self.initial_bits = column_bits(pair.contexts)
        self.initial = pack(pair.initial_weights[None], self.initial_bits)[0]
        paths = self._paths()
        path = os.environ.get(PATH_VARIABLE)
        if path is not None and path not in paths:
            raise UnsupportedError(
                f"{PATH_VARIABLE} is {path!r}, which does not serve here; give one of {', '.join(paths)}"
            )
        self.path = paths[0] if path is None else path
        self.next_context = pair.next_context.astype(np.uint32).ravel()

    def _paths(self) -> list[str]:
        """Name the kernels that serve, the fastest first."""
        plan, layout, shape = self.plan, self.layout, self.shape
        narrow = layout.rows * 2**layout.bits <= _NARROW_ENTRIES
        few = not (shape.rounds or shape.transitions or shape.outcomes)
        # A whole draft ends a round unseen by the last token; it matters where rounds begin or end specially.
        endless = plan.draft_length > shape.horizon or plan.draft_length == 0
        if self.pair.is_markov and narrow and few and (endless or not (layout.root or layout.bonus)):
            small = self.pair.tokens <= _PERMUTED_TOKENS and permutes_bytes()
            return ["permute", "gather", "rounds"] if small else ["gather", "rounds"]
        return ["rounds"]

    def tables(self, begin: int, end: int) -> AliasTables:
        """Build the tables of some steps."""
        return build_tables(self.pair, self.plan, self.layout, begin, end)

    def advance(self, state: State, tables: AliasTables, tally: Tally) -> None:
        """Advance the runs of a chunk over the steps of `tables`."""
        from specsim.engines.alias.kernels import rejections
        from specsim.engines.compiled.jit import space

        shape, layout, plan, runs = self.shape, self.layout, self.plan, state.runs
        work = Work(self.seed, np.uint64(state.first), state.size, tables.begin, tables.end, shape.horizon)
        prompt = rejections.Prompt(self.initial, np.uint32(self.initial_bits))
        rows = rejections.Tables(
            tables.entries, np.uint32(layout.bits), np.uint32(layout.root), np.uint32(layout.bonus)
        )
        if self.path == "gather":
            rejections.advance_rejections(
                work, prompt, rows, runs.context, runs.rejections, tally.counts, tally.rejection_count,
                space(*ALIAS_SPACE), np.empty(LANES, np.uint64),
            )  # fmt: skip
        elif self.path == "permute":
            from specsim.engines.alias.kernels.permute import advance_permuted

            advance_permuted(
                work, prompt, byte_planes(tables.entries, layout), layout.root > 0, runs.context,
                runs.rejections, tally.counts, tally.rejection_count, space(*PERMUTE_SPACE),
                np.empty(8, np.int64),
            )  # fmt: skip
        else:
            from specsim.engines.alias.kernels.rounds import advance_rounds

            rules = rejections.Rules(
                plan.draft_length,
                plan.bonus,
                self.pair.is_markov,
                shape.tokens,
                shape.tokens if shape.transitions else 0,
                shape.rounds,
                shape.outcomes,
            )
            advance_rounds(
                work, rules, prompt, rows, self.next_context, runs, tally.counts, space(*ROUNDS_SPACE)
            )

    def finish(self, state: State, tally: Tally) -> None:
        """Count what is known of runs only at their end."""
        if self.path == "rounds":
            tally.finish(state)
