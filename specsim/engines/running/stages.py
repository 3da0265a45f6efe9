"""All runs of a request: in chunks for the workers, in stages of steps where tables of all do not fit."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from specsim.engines.compiled.sizes import BLOCK
from specsim.engines.running.scheduling import work_through
from specsim.engines.tallies.tally import Shape, State, Tally

#: First run and number of runs.
Task = tuple[int, int]
Tables = TypeVar("Tables")


class Engine(Protocol[Tables]):
    """What an engine knows: its tables, and its kernels."""

    def tables(self, begin: int, end: int) -> Tables:
        """Return the tables of the steps ``begin .. end - 1``."""
        ...

    def advance(self, state: State, tables: Tables, tally: Tally) -> None:
        """Advance runs over the steps of the tables."""
        ...

    def finish(self, state: State, tally: Tally) -> None:
        """Count what is known of runs only at their end."""
        ...


def run_stages(
    engine: Engine[Tables],
    shape: Shape,
    *,
    first_run: int,
    runs: int,
    chunk: int,
    group: int,
    stage_steps: int,
    workers: int,
    blocks: int,
    rejections_of_run: NDArray[np.int64] | None,
    progress: Callable[[int], object] | None,
) -> Tally:
    """Run an engine and return its tallies, which do not depend on how the work is cut.

    engine: does the work.
    shape: what is tallied.
    first_run, runs: range of runs.
    chunk: runs of a worker's task.
    group: with stages, runs that pass a stage together, so that its tables are built once for all of them.
    stage_steps: steps whose tables fit in memory together; the horizon if all do.
    workers: number of threads.
    blocks: blocks of `BLOCK` runs whose rounds a worker counts before it adds them up; 0 where rounds are not
        counted.
    rejections_of_run: filled with the rejections of each run when given.
    progress: called with the number of finished runs.
    """
    tallies = [Tally(shape) for _ in range(workers)]
    finished = 0

    def finish(worker: int, state: State) -> None:
        engine.finish(state, tallies[worker])
        if rejections_of_run is not None:
            start = state.first - first_run
            rejections_of_run[start : start + state.size] = state.runs.rejections

    def report(task: Any) -> None:
        nonlocal finished
        finished += task.size if isinstance(task, State) else task[1]
        if progress is not None:
            progress(finished)

    if stage_steps == shape.horizon:
        tables = engine.tables(0, shape.horizon)
        # Fresh memory for every chunk would cost as much time as its rounds.
        lengths = [np.zeros((blocks, shape.horizon + 1, BLOCK), np.uint32) for _ in range(workers)]

        def decode(worker: int, task: Task) -> None:
            state = State(*task, shape, lengths[worker][: -(-task[1] // BLOCK)])
            engine.advance(state, tables, tallies[worker])
            finish(worker, state)

        work_through(_chunks(first_run, runs, chunk), decode, threads=workers, done=report)
    else:
        for first, size in _chunks(first_run, runs, group):
            states = [State(*task, shape) for task in _chunks(first, size, chunk)]
            for begin in range(0, shape.horizon, stage_steps):
                stage = engine.tables(begin, min(shape.horizon, begin + stage_steps))

                def walk(worker: int, state: State, stage: Tables = stage) -> None:
                    engine.advance(state, stage, tallies[worker])

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
    for begin in range(0, runs, size):
        yield first + begin, min(size, runs - begin)
