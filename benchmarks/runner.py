"""Time all contenders in one process, in turn, by CPU time; refuse to time a wrong one."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.checks import disagreement, laws
from benchmarks.contenders import all_contenders
from benchmarks.contenders.base import Contender, Run
from benchmarks.workloads import WORKLOADS, Workload

#: Pairs of contenders whose ratio is asked for: name, other, limit ("at most", or "at least" if negative).
RATIOS = [
    ("specsim alias", "C gather", 1.3),
    ("specsim permute", "C permute", 1.15),
    ("specsim literal", "specsim alias", 2.5),
    ("NumPy lockstep", "fastest specsim", -60.0),
    ("NumPy alias", "fastest specsim", -10.0),
    ("JAX alias", "fastest specsim", -6.0),
]
_NUMPY_FACTORS = {"S=7 T=50": -80.0, "S=64 T=128": -60.0, "S=1024 T=64 stationary": -120.0}
_UNIT = 2**14
_CHECK_RUNS = 2**16


@dataclass
class Timing:
    """One contender on one workload.

    Attributes
    ----------
    nanoseconds
        CPU time per emitted token, one number per repetition.
    runs
        Runs per timed call.
    problem
        Why it was not timed.
    """

    contender: str
    note: str
    workload: str
    runs: int = 0
    nanoseconds: list[float] = field(default_factory=list)
    problem: str | None = None

    @property
    def median(self) -> float:
        """Median CPU nanoseconds per token."""
        return float(np.median(self.nanoseconds))

    @property
    def spread(self) -> tuple[float, float]:
        """Smallest and largest."""
        return min(self.nanoseconds), max(self.nanoseconds)


def clock(run: Run, runs: int, seed: int) -> float:
    """CPU seconds of the whole process for one call; nothing else runs in it."""
    begin = time.process_time()
    run(runs, seed)
    return time.process_time() - begin


def calibrate(run: Run, seconds: float, tokens: int) -> int:
    """Return how many runs, a multiple of 2^14, take about so many CPU seconds."""
    spent = max(clock(run, _UNIT, 1), 1e-4)
    runs = int(max(1.0, seconds / spent)) * _UNIT
    if runs > _UNIT:
        spent = max(clock(run, runs, 2), 1e-4)
        runs = int(max(1.0, seconds / spent * (runs / _UNIT))) * _UNIT
    return min(runs, 2**40 // tokens)


def measure(
    workload: Workload,
    contenders: Sequence[Contender],
    *,
    repetitions: int,
    seconds: float,
    report: Callable[[str], object],
) -> list[Timing]:
    """Check, calibrate and time contenders on a workload, one call of each per repetition."""
    pair = workload.pair()
    expected = laws(pair)
    timings, running = [], []
    for contender in contenders:
        run = contender.prepare(pair)
        if run is None:
            continue
        timing = Timing(contender=contender.name, note=contender.note, workload=workload.name)
        timings.append(timing)
        report(f"{workload.name}: checking {contender.name}")
        timing.problem = disagreement(run(_CHECK_RUNS, 12345), _CHECK_RUNS, expected)
        if timing.problem is None:
            timing.runs = calibrate(run, seconds, pair.horizon)
            running.append((timing, run))
    for repetition in range(repetitions):
        report(f"{workload.name}: repetition {repetition + 1} of {repetitions}")
        # A rotated order, so that no contender always follows the same one.
        turn = repetition % max(1, len(running))
        for timing, run in running[turn:] + running[:turn]:
            spent = clock(run, timing.runs, 100 + repetition)
            timing.nanoseconds.append(spent / (timing.runs * pair.horizon) * 1e9)
    return timings


def ratios(timings: list[Timing]) -> list[dict[str, Any]]:
    """Ratios of interleaved times: the median over repetitions of the quotient in one repetition."""
    rows = []
    by_name = {t.contender: t for t in timings if t.nanoseconds}
    ours = [t for name, t in by_name.items() if name in ("specsim alias", "specsim permute")]
    if ours:
        by_name["fastest specsim"] = min(ours, key=lambda t: t.median)
    for name, other, limit in RATIOS:
        if name not in by_name or other not in by_name:
            continue
        one, two = by_name[name], by_name[other]
        values = np.array(one.nanoseconds) / np.array(two.nanoseconds)
        if name == "NumPy lockstep":
            limit = _NUMPY_FACTORS.get(one.workload, limit)
        value = float(np.median(values))
        rows.append(
            {
                "workload": one.workload,
                "contender": name,
                "against": other if other != "fastest specsim" else two.contender,
                "ratio": value,
                "low": float(values.min()),
                "high": float(values.max()),
                "limit": ("at least " if limit < 0 else "at most ") + f"{abs(limit):g}",
                "met": value >= -limit if limit < 0 else value <= limit,
            }
        )
    return rows


def rates(timings: list[Timing], workload: Workload) -> list[dict[str, Any]]:
    """Tokens per second and core of specsim's fastest engine, against what is asked for."""
    ours = [t for t in timings if t.nanoseconds and t.contender in ("specsim alias", "specsim permute")]
    if not ours:
        return []
    best = min(ours, key=lambda t: t.median)
    rate = 1e9 / best.median
    return [
        {
            "workload": workload.name,
            "contender": best.contender,
            "tokens_per_second": rate,
            "least": workload.least_tokens_per_second,
            "met": rate >= workload.least_tokens_per_second,
        }
    ]


def environment() -> dict[str, Any]:
    """Describe the machine and the versions."""
    from importlib.metadata import version

    model = platform.processor()
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        named = (line for line in cpu.read_text().splitlines() if line.startswith("model name"))
        model = next(named, model).rpartition(":")[2].strip()
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "numba": version("numba"),
        "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
    }


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


def run_all(
    *,
    repetitions: int,
    seconds: float,
    workloads: Sequence[str] | None = None,
    contenders: Sequence[str] | None = None,
    report: Callable[[str], object] = lambda line: None,
) -> dict[str, Any]:
    """Run the benchmark and return everything measured, ready for JSON."""
    chosen = [c for c in all_contenders() if contenders is None or c.name in contenders]
    result: dict[str, Any] = {"environment": environment(), "timings": [], "ratios": [], "rates": []}
    for workload in WORKLOADS:
        if workloads is not None and workload.name not in workloads:
            continue
        with pinned():
            timings = measure(workload, chosen, repetitions=repetitions, seconds=seconds, report=report)
        for timing in timings:
            row = asdict(timing)
            if timing.nanoseconds:
                row |= {"median": timing.median, "low": timing.spread[0], "high": timing.spread[1]}
            result["timings"].append(row)
        result["ratios"] += ratios(timings)
        result["rates"] += rates(timings, workload)
    return result
