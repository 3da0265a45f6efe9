"""The literal engine: tables for stages of steps, chunks of runs for threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm
from specsim.engines.memory import available_bytes, require
from specsim.engines.plans import Plan, prepare
from specsim.engines.scheduling import work_through
from specsim.engines.tables import Residuals, Segments, Words, guide_bits, of_steps, residuals, segments
from specsim.engines.tallies import Shape, State, Tally
from specsim.pairs import ModelPair

_CHUNK = 16 * 1024
_CHUNK_WORK = 2**25
_STAGED_STATE_BYTES = 2**27
_STATUS = {
    1: "an empty residual was reached, which the construction excludes",
    2: "255 retries of a residual draw failed, which has probability below 2^-255",
}

Task = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Tables of the steps ``begin .. end - 1``, one row per (step, context)."""

    begin: int
    end: int
    stride: int
    draft: Segments
    target: Segments
    accept: Words
    residual: Residuals
    root_bank: int
    root_accept: Words


def run_literal(
    pair: ModelPair,
    algorithm: Algorithm,
    shape: Shape,
    *,
    seed: int,
    first_run: int,
    runs: int,
    threads: int,
    rejections_of_run: NDArray[np.int64] | None,
    progress: Callable[[int], object] | None,
    table_bytes: int | None = None,
) -> Tally:
    """Run the literal engine and return its tallies.

    Parameters
    ----------
    pair, algorithm
        What to run.
    shape
        What to tally; its horizon is the one used.
    seed, first_run, runs
        The random numbers: runs ``first_run .. first_run + runs - 1`` of the seed.
    threads
        Number of workers.
    rejections_of_run
        Filled with the rejections of each run when given.
    progress
        Called with the number of finished runs.
    table_bytes
        Memory for tables. Defaults to None: half a gibibyte, or a quarter of what is available if that is
        less. Steps are processed in stages whose tables fit; the result does not depend on it.

    Raises
    ------
    TooLargeError
        Tables of a single step, or the tallies, do not fit in memory.
    """
    horizon = shape.horizon
    plan = prepare(algorithm, pair, horizon)
    step_bytes = plan.step_bytes(pair)
    if table_bytes is None:
        table_bytes = min(2**29, available_bytes() // 4)
    staged = plan.table_steps > 1 and plan.kind == "chain"
    stage_steps = min(horizon, max(1, table_bytes // step_bytes)) if staged else horizon
    kept_steps = min(stage_steps, plan.table_steps)
    chunk = _chunk_runs(plan, horizon, runs, threads)
    workers = min(threads, -(-runs // chunk))
    require(
        kept_steps * step_bytes + (workers + 1) * (shape.bytes + chunk * 4 * (horizon + 8)),
        f"tables and tallies of {workers} threads",
        "use fewer drafts, tokens, contexts or threads, or a shorter horizon",
    )

    engine = _Engine(pair, plan, shape, seed)
    tallies = [Tally(shape) for _ in range(workers)]
    finished = 0

    def finish(worker: int, state: State) -> None:
        tallies[worker].finish(state)
        if rejections_of_run is not None:
            start = state.first - first_run
            rejections_of_run[start : start + state.size] = state.rejections

    def report(task: Any) -> None:
        nonlocal finished
        finished += task.size if isinstance(task, State) else task[1]
        if progress is not None:
            progress(finished)

    if stage_steps == horizon:
        tables = engine.tables(0, horizon)

        def decode(worker: int, task: Task) -> None:
            state = State(task[0], task[1], horizon, shape.outcomes)
            engine.advance(state, tables, tallies[worker])
            finish(worker, state)

        work_through(_chunks(first_run, runs, chunk), decode, threads=workers, done=report)
    else:
        # Time outside all runs of a group: the tables of a stage are built once per group.
        group = max(chunk, _STAGED_STATE_BYTES // (4 * (horizon + 8)) // chunk * chunk)
        for first, size in _chunks(first_run, runs, group):
            states = [State(*task, horizon, shape.outcomes) for task in _chunks(first, size, chunk)]
            for begin in range(0, horizon, stage_steps):
                tables = engine.tables(begin, min(horizon, begin + stage_steps))

                def walk(worker: int, state: State, tables: Tables = tables) -> None:
                    engine.advance(state, tables, tallies[worker])

                work_through(states, walk, threads=workers, done=lambda state: None)
            for state in states:
                finish(0, state)
                report(state)

    total = tallies[0]
    for tally in tallies[1:]:
        total.add(tally)
    return total


def _chunks(first: int, runs: int, size: int) -> Iterator[Task]:
    """Split a range of runs; yields (first run, number of runs)."""
    done = 0
    while done < runs:
        take = min(size, runs - done)
        yield first + done, take
        done += take


def _chunk_runs(plan: Plan, horizon: int, runs: int, threads: int) -> int:
    """Choose the runs of a chunk: some milliseconds of work, a bounded state, a share for every thread."""
    work = _CHUNK_WORK // (horizon * plan.drafts)
    memory = 2**24 // (horizon + 1)
    size = max(1, min(_CHUNK, max(256, work), memory))
    share = -(-runs // threads)
    return min(size, -(-share // 1024) * 1024)


class _Engine:
    """The tables and the kernel calls of one simulation."""

    def __init__(self, pair: ModelPair, plan: Plan, shape: Shape, seed: int) -> None:
        self.pair = pair
        self.plan = plan
        self.shape = shape
        self.seed = np.uint64(seed)
        self.shift = np.uint64(32 - guide_bits(pair.tokens))
        self.bits = np.uint64(guide_bits(pair.tokens))
        self.next_context = pair.next_context.astype(np.uint32)
        self.initial = segments(pair.initial_weights[None])
        self.initial_shift = np.uint64(32 - guide_bits(pair.contexts))

    def tables(self, begin: int, end: int) -> Tables:
        """Build the tables of some steps."""
        pair, plan = self.pair, self.plan
        steps = np.arange(begin, end) if plan.table_steps > 1 else np.zeros(1, np.intp)
        rows = len(steps) * pair.contexts

        def flat(table: Words) -> Words:
            return np.ascontiguousarray(table.reshape(rows, pair.tokens))

        draft_weights = flat(of_steps(pair.draft_weights, steps))
        # Plans without a bonus token never read the target's segments.
        target_weights = flat(of_steps(pair.target_weights, steps)) if plan.bonus else draft_weights[:1]
        residual = flat(plan.residual(steps))
        root_accept = np.zeros((1, 1, 1), np.uint64)
        if plan.root is not None:
            root_accept, root_residual = plan.root(steps)
            residual = np.concatenate([residual, root_residual])
        return Tables(
            begin=begin,
            end=end,
            stride=pair.contexts if plan.table_steps > 1 else 0,
            draft=segments(draft_weights),
            target=segments(target_weights),
            accept=flat(plan.thresholds(steps)),
            residual=residuals(residual),
            root_bank=rows if plan.root is not None else 0,
            root_accept=root_accept,
        )

    def advance(self, state: State, tables: Tables, tally: Tally) -> None:
        """Advance the runs of a chunk over the steps of `tables`."""
        shape = self.shape
        width = shape.tokens if shape.transitions else 0
        counts = (
            tally.tokens, width, tally.rejections_by_step, tally.accepted_length_count,
            tally.accepted_length_square_sum, tally.first_accepted_length_count,
        )  # fmt: skip
        prompt = (self.initial.last, self.initial.guide, self.initial_shift, self.next_context)
        if self.plan.kind == "block":
            from specsim.engines.kernels.block import verify_blocks

            steps = 1 if tables.stride == 0 else self.plan.table_steps
            status = verify_blocks(
                self.seed, np.uint64(state.first), state.size, shape.horizon, tables.stride,
                self.plan.draft_length, self.plan.bonus, shape.outcomes,
                *prompt,
                tables.draft.last, tables.draft.guide, self.shift, tables.target.last, tables.target.guide,
                self._floats(self.pair.target, steps), self._floats(self.pair.draft, steps),
                state.calls, state.first_length, state.rejections, state.lengths, state.path, state.rejected,
                *counts,
            )  # fmt: skip
        else:
            from specsim.engines.kernels.chain import advance

            status = advance(
                self.seed, np.uint64(state.first), state.size, tables.begin, tables.end, shape.horizon,
                tables.stride, self.plan.draft_length, self.plan.bonus, self.plan.drafts, tables.root_bank,
                shape.outcomes,
                *prompt,
                tables.draft.last, tables.draft.guide, self.shift, tables.accept,
                tables.residual.end, tables.residual.guide, self.bits,
                tables.target.last, tables.target.guide, tables.root_accept,
                state.context, state.accepted, state.calls, state.first_length, state.rejections,
                state.lengths, state.path, state.rejected,
                *counts,
            )  # fmt: skip
        if status:
            raise RuntimeError(f"literal engine: {_STATUS[status]}; please report this with the pair's file")

    def _floats(self, table: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
        cached = self.__dict__.setdefault("_float_tables", {})
        key = id(table)
        if key not in cached:
            cached[key] = np.array(table[:steps].reshape(-1, self.pair.tokens))
        found: NDArray[np.float64] = cached[key]
        return found
