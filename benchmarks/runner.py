"""Time all contenders in one process, in turn, by CPU time; refuse to time a wrong one."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import exact, literal, scaling, startup, systems
from benchmarks.ceilings import Ceiling, ceilings, problem
from benchmarks.checks import disagreement, laws
from benchmarks.contenders import all_contenders, batches
from benchmarks.contenders.base import Contender
from benchmarks.timing import calibrate, clock, pinned
from benchmarks.workloads import WORKLOADS, Workload
from specsim.errors import InputError

#: Pairs of contenders whose ratio is asked for: name, other, limit ("at most", or "at least" if negative).
RATIOS = [
    ("specsim alias", "C gather", 1.3),
    ("specsim permute", "C permute", 1.15),
    ("specsim lockstep", "specsim alias", 2.5),
    ("specsim lockstep", "fastest specsim", 2.5),
    ("NumPy lockstep", "fastest specsim", -60.0),
    ("NumPy alias", "fastest specsim", -10.0),
    ("JAX alias", "fastest specsim", -6.0),
]
#: The same for the batch engines: 16 candidates against one.
BATCH_RATIOS = [
    *(
        (f"{engine} M=16{tallies}", f"{engine} M=1{tallies}", 1.5)
        for engine in ("lockstep", "alias")
        for tallies in ("", batches.ALL)
    ),
    *((f"lockstep M={drafts}", f"alias M={drafts}", 2.5) for drafts in batches.DRAFTS),
]
#: What the command measures.
PARTS = ("engines", "ceilings", "batch", "literal", "systems", "exact", "scaling", "startup")
_NUMPY_FACTORS = {"S=7 T=50": -80.0, "S=64 T=128": -60.0, "S=1024 T=64 stationary": -120.0}
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
    ceiling
        Whether it is a physical ceiling, not a contender.
    gathers
        Whether the ceiling of gathers applies to it.
    fixed
        CPU seconds of calls of one run, where a call builds tables; subtracted from the others.
    wall
        Whether all its seconds are those of the wall clock.
    """

    contender: str
    note: str
    workload: str
    runs: int = 0
    nanoseconds: list[float] = field(default_factory=list)
    problem: str | None = None
    ceiling: bool = False
    gathers: bool = True
    fixed: list[float] = field(default_factory=list)
    wall: bool = False

    @property
    def median(self) -> float:
        """Median CPU nanoseconds per token."""
        return float(np.median(self.nanoseconds))

    @property
    def spread(self) -> tuple[float, float]:
        """Smallest and largest."""
        return min(self.nanoseconds), max(self.nanoseconds)


def measure(
    workload: Workload,
    contenders: Sequence[Contender],
    *,
    repetitions: int,
    seconds: float,
    report: Callable[[str], object],
    limits: Sequence[Ceiling] = (),
) -> list[Timing]:
    """Check, calibrate and time contenders and ceilings, one call of each per repetition."""
    pair = workload.pair()
    expected = {algorithm: laws(pair, algorithm) for algorithm in {c.algorithm for c in contenders}}
    timings: list[Timing] = []
    running: list[tuple[Timing, Callable[[int, int], object]]] = []
    for contender in contenders:
        run = contender.prepare(pair)
        if run is None:
            continue
        timing = Timing(
            contender=contender.name,
            note=contender.note,
            workload=workload.name,
            gathers=contender.gathers,
            wall=contender.wall,
        )
        timings.append(timing)
        report(f"{workload.name}: checking {contender.name}")
        answer = run(_CHECK_RUNS, 12345)
        timing.problem = disagreement(answer, _CHECK_RUNS, expected[contender.algorithm])
        if timing.problem is None:
            if contender.builds_tables:
                timing.fixed = [clock(run, 1, 3, timing.wall)]
            timing.runs = calibrate(run, seconds, pair.horizon, sum(timing.fixed), timing.wall)
            running.append((timing, run))
    for limit in limits:
        timing = Timing(contender=limit.name, note=limit.note, workload=workload.name, ceiling=True)
        timings.append(timing)
        timing.problem = problem(limit, pair)
        if timing.problem is None:
            call = limit.prepare(pair)
            timing.runs = calibrate(call, seconds, pair.horizon)
            running.append((timing, call))
    for repetition in range(repetitions):
        report(f"{workload.name}: repetition {repetition + 1} of {repetitions}")
        # A rotated order, so that no contender always follows the same one.
        turn = repetition % max(1, len(running))
        for timing, timed in running[turn:] + running[:turn]:
            spent = clock(timed, timing.runs, 100 + repetition, timing.wall)
            if timing.fixed:
                timing.fixed.append(clock(timed, 1, 200 + repetition, timing.wall))
                spent -= timing.fixed[-1]
            timing.nanoseconds.append(spent / (timing.runs * pair.horizon) * 1e9)
    for timing in timings:
        if timing.nanoseconds and min(timing.nanoseconds) <= 0:
            timing.problem = "building its tables varies by more than its work takes; give more --seconds"
            timing.nanoseconds = []
    return timings


def ratios(timings: list[Timing], asked: Sequence[tuple[str, str, float]] = RATIOS) -> list[dict[str, Any]]:
    """Ratios of interleaved times: the median over repetitions of the quotient in one repetition."""
    rows = []
    by_name = {t.contender: t for t in timings if t.nanoseconds}
    ours = [t for name, t in by_name.items() if name in ("specsim alias", "specsim permute")]
    if ours:
        by_name["fastest specsim"] = min(ours, key=lambda t: t.median)
    for name, other, limit in asked:
        if name not in by_name or other not in by_name:
            continue
        one, two = by_name[name], by_name[other]
        if other == "fastest specsim" and (name, two.contender, limit) in asked:
            continue
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


def fractions(timings: list[Timing]) -> list[dict[str, Any]]:
    """Each contender's fraction of each ceiling: the ceiling's time over its own, by repetition."""
    rows = []
    timed = [timing for timing in timings if timing.nanoseconds]
    for limit in (timing for timing in timed if timing.ceiling):
        for timing in timed:
            if timing.ceiling or (limit.contender == "random gathers" and not timing.gathers):
                continue
            values = np.array(limit.nanoseconds) / np.array(timing.nanoseconds)
            rows.append(
                {
                    "workload": timing.workload,
                    "contender": timing.contender,
                    "ceiling": limit.contender,
                    "fraction": float(np.median(values)),
                    "low": float(values.min()),
                    "high": float(values.max()),
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


def begin(
    earlier: dict[str, Any] | None,
    *,
    repetitions: int,
    seconds: float,
    parts: Sequence[str],
    quick: bool,
    contenders: Sequence[str] | None,
) -> dict[str, Any]:
    """Return a result without measurements, or an earlier one to go on with.

    Raises
    ------
    InputError
        The earlier one was measured otherwise, or elsewhere.
    """
    settings = {
        "repetitions": repetitions,
        "seconds": seconds,
        "quick": quick,
        "together": [part for part in ("engines", "ceilings") if part in parts],
        "contenders": None if contenders is None else list(contenders),
    }
    new: dict[str, Any] = {"environment": environment(), "settings": settings, "pieces": []}
    new |= {key: [] for key in ("timings", "ratios", "rates", "fractions")}
    if earlier is None:
        return new
    for key in ("environment", "settings"):
        for name, value in new[key].items():
            before = earlier.get(key, {}).get(name)
            if name != "load_average" and before != value:
                raise InputError(
                    f"the file to go on with has {name} {before!r}, not {value!r}; "
                    "ask for the same, or give another file"
                )
    return earlier


def run_all(
    *,
    repetitions: int,
    seconds: float,
    parts: Sequence[str] = PARTS,
    quick: bool = False,
    workloads: Sequence[str] | None = None,
    contenders: Sequence[str] | None = None,
    report: Callable[[str], object] = lambda line: None,
    earlier: dict[str, Any] | None = None,
    keep: Callable[[dict[str, Any]], object] = lambda result: None,
) -> dict[str, Any]:
    """Run the benchmark and return everything measured, ready for JSON.

    Parameters
    ----------
    repetitions, seconds
        Timed calls, and CPU time of one.
    parts
        Some of `PARTS`.
    quick
        Leave out what takes minutes: large exact sums, wide batches, cold compilation.
    workloads, contenders
        Names to keep.
    report
        Called with what is done next.
    earlier
        A result that was cut short; its pieces are not measured again. Defaults to None: none.
    keep
        Called with the result so far after every piece: one workload of a part, or a part without workloads.

    Raises
    ------
    InputError
        `earlier` was measured otherwise, or elsewhere.
    """
    result = begin(
        earlier, repetitions=repetitions, seconds=seconds, parts=parts, quick=quick, contenders=contenders
    )
    kept = [w for w in WORKLOADS if workloads is None or w.name in workloads]

    def time_all(
        workload: Workload, contenders: Sequence[Contender], limits: Sequence[Ceiling] = ()
    ) -> list[Timing]:
        with pinned():
            timings = measure(
                workload, contenders, repetitions=repetitions, seconds=seconds, report=report, limits=limits
            )
        for timing in timings:
            row = asdict(timing)
            if timing.nanoseconds:
                row |= {"median": timing.median, "low": timing.spread[0], "high": timing.spread[1]}
            result["timings"].append(row)
        return timings

    def time_engines(workload: Workload) -> None:
        engines = all_contenders() if "engines" in parts else []
        timings = time_all(
            workload,
            [c for c in engines if contenders is None or c.name in contenders],
            ceilings() if "ceilings" in parts else [],
        )
        result["ratios"] += ratios(timings)
        result["rates"] += rates(timings, workload)
        result["fractions"] += fractions(timings)

    def time_batches(workload: Workload) -> None:
        result["ratios"] += ratios(time_all(workload, batches.contenders()), BATCH_RATIOS)

    def put(part: str, rows: list[dict[str, Any]]) -> None:
        result[part] = rows

    pieces: list[tuple[str, Callable[[], None]]] = []
    if {"engines", "ceilings"} & set(parts):
        pieces += [(f"engines, {w.name}", partial(time_engines, w)) for w in kept]
    if "batch" in parts:
        chosen = [w for w in kept if not (quick and w.slow_batch)]
        pieces += [(f"batch, {w.name}", partial(time_batches, w)) for w in chosen]
    repeated: dict[str, Any] = {"repetitions": repetitions, "quick": quick, "report": report}
    if "literal" in parts:
        pieces.append(("literal", lambda: put("literal", literal.measure(seconds=seconds, **repeated))))
    if "systems" in parts:
        pieces.append(("systems", lambda: put("systems", systems.measure(seconds=seconds, **repeated))))
    if "exact" in parts:
        pieces.append(("exact", lambda: put("exact", exact.measure(**repeated))))
    if "scaling" in parts:
        pieces.append(("scaling", lambda: put("scaling", scaling.measure(**repeated))))
    if "startup" in parts:
        pieces.append(("startup", lambda: put("startup", startup.measure(quick=quick, report=report))))
    for name, work in pieces:
        if name in result["pieces"]:
            report(f"{name}: measured before")
            continue
        work()
        result["pieces"].append(name)
        keep(result)
    return result
