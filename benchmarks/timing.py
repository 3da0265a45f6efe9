"""CPU time of calls, on one core."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: Simulates (runs, seed).
Call = Callable[[int, int], Any]

UNIT = 2**14


def clock(run: Call, runs: int, seed: int, wall: bool = False) -> float:
    """CPU seconds of the whole process for one call; nothing else runs in it.

    With `wall`, seconds that passed: for work that is not done by the processor.
    """
    now = time.perf_counter if wall else time.process_time
    begin = now()
    run(runs, seed)
    return now() - begin


def calibrate(run: Call, seconds: float, tokens: int, fixed: float = 0.0, wall: bool = False) -> int:
    """Return how many runs, a multiple of 2^14, take so many seconds of `clock` beyond `fixed` ones.

    At least as long as the fixed ones, so that their own variation does not drown the difference.
    """
    wanted = max(seconds, fixed)
    most = max(1, 2**40 // (tokens * UNIT)) * UNIT
    runs = UNIT
    while (spent := clock(run, runs, 1, wall) - fixed) < wanted / 4 and runs < most:
        runs = min(4 * runs, most)
    return int(min(max(1.0, wanted / max(spent, 1e-4) * (runs / UNIT)), most // UNIT)) * UNIT


@contextmanager
def pinned() -> Iterator[None]:
    """Stay on one core, so that repetitions do not move between caches."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
