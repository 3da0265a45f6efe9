"""Runs of a system's loop, cut into chunks for threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from specsim.engines.running.memory import require
from specsim.engines.running.scheduling import available_cores, work_through
from specsim.support.arrays import Integers
from specsim.support.checks import whole

_CHUNK = 2**12


@dataclass(frozen=True, eq=False)
class SystemRuns:
    """What every system counts: the time of each run, ``(runs,)``, in ticks of `unit` target calls."""

    ticks: Integers
    unit: Fraction

    @property
    def mean_time(self) -> float:
        """Mean time of a run, in target calls."""
        return float(self.ticks.mean()) * float(self.unit)


class Prepared(NamedTuple):
    """What a loop reads, and the shapes of what it counts.

    arguments: all that it reads besides the key and the number of the first run.
    each: shapes of what each run counts, to which an axis of runs is added at the end.
    sums: shapes of what is counted over all runs.
    unit: length of one tick, in target calls.
    """

    arguments: tuple[Any, ...]
    each: tuple[tuple[int, ...], ...]
    sums: tuple[tuple[int, ...], ...]
    unit: Fraction


def decode_in_chunks(
    decode: Callable[..., object],
    prepared: Prepared,
    *,
    runs: int,
    seed: int,
    threads: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> list[Integers]:
    """Call ``decode(key, first_run, *arguments, *each, *sums)`` for all runs.

    Returns the arrays of each run, and then the sums, whatever the number of threads.

    InputError: `runs`, `seed` or `threads` is out of range.
    TooLargeError: the arrays of all runs do not fit into memory.
    """
    runs, seed = whole("runs", runs, 1), whole("seed", seed, 0, 2**64 - 1)
    require(8 * runs * sum(map(math.prod, prepared.each)), f"the times of {runs} runs", "use fewer runs")
    threads = available_cores() if threads is None else whole("threads", threads, 1)
    each = [np.zeros((*shape, runs), np.int64) for shape in prepared.each]
    chunks = [(begin, min(_CHUNK, runs - begin)) for begin in range(0, runs, _CHUNK)]
    workers = min(threads, len(chunks))
    tallies = [[np.zeros(shape, np.int64) for shape in prepared.sums] for _ in range(workers)]

    def work(worker: int, task: tuple[int, int]) -> None:
        begin, count = task
        key = np.array([seed, 0, 0], np.uint64)
        parts: Sequence[Integers] = [array[..., begin : begin + count] for array in each]
        decode(key, begin, *prepared.arguments, *parts, *tallies[worker])

    finished = 0

    def report(task: tuple[int, int]) -> None:
        nonlocal finished
        finished += task[1]
        if progress is not None:
            progress(finished)

    work_through(chunks, work, threads=workers, done=report)
    return [*each, *(np.sum(parts, axis=0) for parts in zip(*tallies, strict=True))]
