"""From the start of a process to its first result, and what compiling everything costs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

_SIMULATE = (
    "import specsim; "
    "specsim.simulate(specsim.paper_pair(3), specsim.Speculative(), runs=10, seed=1, engine={engine!r})"
)
_WITHOUT_DASK = "import sys; sys.modules['dask'] = None; "
_COMMAND = ["simulate", "paper:3", "speculative", "--runs", "10", "--seed", "1"]
#: Name, arguments of Python, seconds of wall time asked for.
WARM: list[tuple[str, list[str], float | None]] = [
    ("import of numba and xarray alone", ["-c", "import numba, xarray"], None),
    ("simulate, lockstep", ["-c", _SIMULATE.format(engine="lockstep")], 0.8),
    ("simulate, alias", ["-c", _SIMULATE.format(engine="alias")], 0.8),
    (
        "simulate, lockstep, without Dask (no extra cluster)",
        ["-c", _WITHOUT_DASK + _SIMULATE.format(engine="lockstep")],
        0.8,
    ),
    ("command simulate, with theory beside it", ["-m", "specsim", *_COMMAND], None),
]
#: Compiles all kernels that are not in the cache, in this process, so that its CPU time is theirs.
_ALL_KERNELS = "from specsim.engines.compiled.ahead import compile_all; compile_all(processes=1)"
_COLD_LIMIT = 10.0
_REPETITIONS = 5


def measure(*, quick: bool, report: Callable[[str], object]) -> list[dict[str, Any]]:
    """Return one row per way to start; seconds are (wall, CPU) of each process."""
    rows: list[dict[str, Any]] = []
    for name, arguments, limit in WARM:
        report(f"startup: {name}")
        spend(arguments)
        times = [spend(arguments) for _ in range(_REPETITIONS)]
        wall = median(time[0] for time in times)
        rows.append(
            {
                "what": name,
                "times": times,
                "wall": wall,
                "cpu": median(time[1] for time in times),
                "limit": limit,
                "met": None if limit is None else wall <= limit,
            }
        )
    if not quick:
        rows.append(cold(report))
    return rows


def cold(report: Callable[[str], object]) -> dict[str, Any]:
    """Return the CPU time of a process that compiles all kernels, the import of Numba included.

    That is at least what ``validate --effort quick`` compiles. The difference of two runs of that command
    itself, a minute each, would drown in their own variation.
    """
    with tempfile.TemporaryDirectory(prefix="specsim-bench-") as folder:
        report("startup: all kernels, empty cache")
        times = [spend(["-c", _ALL_KERNELS], {"SPECSIM_CACHE_DIR": folder})]
        kernels = len(list(Path(folder).rglob("*.nbc")))
    seconds = times[0][1]
    return {
        "what": f"compilation of all {kernels} kernels",
        "times": times,
        "wall": None,
        "cpu": seconds,
        "limit": _COLD_LIMIT,
        "met": seconds <= _COLD_LIMIT,
    }


def spend(arguments: list[str], variables: dict[str, str] | None = None) -> tuple[float, float]:
    """Run Python and return its seconds of wall and of CPU time, descendants included."""
    environment = {**os.environ, **(variables or {})}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
    before, begin = os.times(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    wall, after = time.perf_counter() - begin, os.times()
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()[-500:]}"
        )
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu
