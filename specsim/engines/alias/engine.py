"""The alias engine: one gather per token from tables of the collapsed law; fast, and no witness.

That the collapsed law is the law of the published algorithm is what Theorem 1 of 2411.00841 proves; the
literal engine, which uses no theorem, and the exact theory are what this engine is compared with.

Run r reads, for position n, word ``n % 4`` of the Philox block with counter
``(n // 4, 2^30, r mod 2^32, r div 2^32)``; position 0 is the prompt. No other engine uses these counters.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm
from specsim.engines.alias.tables import AliasTables, Layout, build_tables, byte_planes, column_bits, pack
from specsim.engines.compiled.cpu import permutes_bytes
from specsim.engines.compiled.native import kernel, space
from specsim.engines.compiled.sizes import ALIAS_SPACE, LANES, PERMUTE_SPACE, ROUNDS_SPACE
from specsim.engines.lockstep.plans import Plan, prepare
from specsim.engines.request import Request
from specsim.engines.running.memory import available_bytes, require
from specsim.engines.running.stages import Task, run_stages
from specsim.engines.tallies.tally import Shape, State, Tally
from specsim.errors import UnsupportedError
from specsim.pairs import ModelPair

_CHUNK_TOKENS = 2**22
_STAGED_STATE_BYTES = 2**27
_NARROW_ENTRIES = 2**31
_KEPT_BYTES = 2**26
_PERMUTED_TOKENS = 8
#: Environment variable that asks for a kernel by name.
PATH_VARIABLE = "SPECSIM_ALIAS_PATH"


def check(request: Request) -> None:
    """Raise `UnsupportedError` when the algorithm has no collapsed law of one position."""
    _plan(request)


def _plan(request: Request) -> Plan:
    plan = prepare(request.algorithm, request.pair, request.shape.horizon)
    if plan.kind != "chain":
        raise UnsupportedError(
            f"algorithm is {request.algorithm.label}, whose rounds are verified as a whole; "
            'the alias engine has no table for it, use engine="auto"'
        )
    return plan


def run(
    request: Request,
    first_run: int,
    runs: int,
    *,
    threads: int,
    rejections_of_run: NDArray[np.int64] | None = None,
    progress: Callable[[int], object] | None = None,
    table_bytes: int | None = None,
    path: str | None = None,
) -> Tally:
    """Simulate some runs of a request; see `specsim.engines.request.Engine`.

    Parameters
    ----------
    table_bytes
        Memory for tables. Defaults to None: a quarter of what is available. Steps are processed in stages
        whose tables fit; the result does not depend on it. A step takes ``4 * 2**bits`` bytes per context,
        with ``2**bits`` at least twice the number of tokens, times 1, 2 or 3 kinds of positions.
    path
        Kernel to use. Defaults to None, the fastest that serves; see `specsim.engines.compiled.cpu`. The
        result does not depend on it.

    Raises
    ------
    UnsupportedError
        The kernel asked for does not serve.
    """
    pair, shape, plan = request.pair, request.shape, _plan(request)
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
        _Engine(pair, request.algorithm, plan, layout, shape, request.seed, path),
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


class _Kept(NamedTuple):
    pair: ModelPair
    algorithm: Algorithm
    horizon: int
    tables: AliasTables


#: The last tables built, if small: a simulation in many parts asks for the same ones each time.
_kept: _Kept | None = None


def _all_tables(
    pair: ModelPair, algorithm: Algorithm, plan: Plan, layout: Layout, horizon: int
) -> AliasTables:
    """Build the tables of all steps, or return those of the last call with the same arguments."""
    global _kept
    kept = _kept
    if kept is not None and kept.pair is pair and kept.algorithm == algorithm and kept.horizon == horizon:
        return kept.tables
    tables = build_tables(pair, plan, layout, 0, horizon)
    if tables.entries.nbytes <= _KEPT_BYTES:
        _kept = _Kept(pair, algorithm, horizon, tables)
    return tables


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
        algorithm: Algorithm,
        plan: Plan,
        layout: Layout,
        shape: Shape,
        seed: int,
        path: str | None,
    ) -> None:
        self.pair = pair
        self.algorithm = algorithm
        self.plan = plan
        self.layout = layout
        self.shape = shape
        self.seed = np.uint64(seed)
        self.initial_bits = column_bits(pair.contexts)
        self.initial = pack(pair.initial_weights[None], self.initial_bits)[0]
        paths = self._paths()
        path = path or os.environ.get(PATH_VARIABLE)
        if path is not None and path not in paths:
            raise UnsupportedError(
                f"path is {path!r}, which does not serve here; give one of {', '.join(paths)}"
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
        """Build the tables of some steps; those of all steps may be at hand from the last call."""
        if (begin, end) == (0, self.shape.horizon):
            return _all_tables(self.pair, self.algorithm, self.plan, self.layout, end)
        return build_tables(self.pair, self.plan, self.layout, begin, end)

    def state(self, task: Task, lengths: NDArray[np.uint32] | None = None) -> State:
        """Return the state of new runs."""
        return State(*task, self.shape.horizon, self.shape.outcomes, self.shape.rounds, lengths)

    def advance(self, state: State, tables: AliasTables, tally: Tally) -> None:
        """Advance the runs of a chunk over the steps of `tables`."""
        shape, layout, plan = self.shape, self.layout, self.plan
        what = (
            self.seed, np.uint64(state.first), state.size, tables.begin, tables.end, shape.horizon,
            self.initial, np.uint32(self.initial_bits), tables.entries, np.uint32(layout.bits),
            np.uint32(layout.root),
        )  # fmt: skip
        if self.path == "gather":
            kernel("alias.kernels.rejections", "advance_rejections")(
                *what, state.context, state.rejections,
                tally.tokens, tally.rejections_by_step, tally.rejection_count,
                space(*ALIAS_SPACE), np.empty(LANES, np.uint64),
            )  # fmt: skip
            return
        if self.path == "permute":
            kernel("alias.kernels.permute", "advance_permuted")(
                *what[:8], byte_planes(tables.entries, layout), layout.root > 0,
                state.context, state.rejections,
                tally.tokens, tally.rejections_by_step, tally.rejection_count,
                space(*PERMUTE_SPACE), np.empty(8, np.int64),
            )  # fmt: skip
            return
        kernel("alias.kernels.rounds", "advance_rounds")(
            *what, np.uint32(layout.bonus), self.next_context, self.pair.is_markov, shape.tokens,
            plan.draft_length, plan.bonus, shape.rounds, shape.outcomes,
            shape.tokens if shape.transitions else 0,
            state.context, state.accepted, state.calls, state.first_length, state.rejections, state.lengths,
            state.path, state.rejected,
            tally.tokens, tally.rejections_by_step, tally.accepted_length_count,
            tally.accepted_length_square_sum, tally.first_accepted_length_count, space(*ROUNDS_SPACE),
        )  # fmt: skip

    def finish(self, state: State, tally: Tally) -> None:
        """Count what is known of runs only at their end."""
        if self.path == "rounds":
            tally.finish(state)
