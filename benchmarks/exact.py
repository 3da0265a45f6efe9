"""CPU time of exact expected rejections at the sizes that have a target; equality of methods first."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from threadpoolctl import threadpool_limits

from benchmarks.exact_theory import calls_of
from specsim import random_pair

#: Contexts and tokens, horizon, stationary, seconds asked for, whether a quick benchmark leaves it out.
SIZES: list[tuple[int, int, bool, float | None, bool]] = [
    (7, 50, False, None, False),
    (64, 128, False, 0.15, False),
    (1024, 64, True, 1.0, False),
    (4096, 64, True, 10.0, True),
]
#: Beyond this many contexts one timed call has to do.
_ONCE = 2048


def measure(*, repetitions: int, quick: bool, report: Callable[[str], object]) -> list[dict[str, Any]]:
    """Return one row per size, with the seconds of every repetition."""
    rows = []
    for contexts, horizon, stationary, limit, slow in SIZES:
        if quick and slow:
            continue
        report(f"exact: {contexts} contexts, horizon {horizon}")
        pair = random_pair(contexts=contexts, horizon=horizon, stationary=stationary, seed=1)
        calls = calls_of(pair)
        with threadpool_limits(1):
            wrong = None if len({call() for call in calls.values()}) == 1 else "methods disagree"
            repeats = 0 if wrong else 1 if contexts > _ONCE else repetitions
            times = [_seconds(calls["expected_rejections"]) for _ in range(repeats)]
        rows.append(
            {
                "contexts": contexts,
                "horizon": horizon,
                "stationary": stationary,
                "methods": list(calls),
                "seconds": times,
                "limit": limit,
                "problem": wrong,
            }
        )
    return rows


def _seconds(call: Callable[[], object]) -> float:
    begin = time.process_time()
    call()
    return time.process_time() - begin
