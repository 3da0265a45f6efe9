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
#: Name, arguments of Python, and the wall time asked for as a multiple of the first one's.
WARM: list[tuple[str, list[str], float | None]] = [
    ("import of numba and xarray alone", ["-c", "import numba, xarray"], None),
    ("simulate, lockstep", ["-c", _SIMULATE.format(engine="lockstep")], 1.4),
    ("simulate, alias", ["-c", _SIMULATE.format(engine="alias")], 1.4),
    ("simulate, literal", ["-c", _SIMULATE.format(engine="literal")], 1.4),
    (
        "simulate, lockstep, without Dask (no extra cluster)",
        ["-c", _WITHOUT_DASK + _SIMULATE.format(engine="lockstep")],
        1.4,
    ),
    ("command simulate, compared with theory", ["-m", "specsim", *_COMMAND], None),
]
#: Compiles all kernels that are not in the cache, one after another.
_ALL_KERNELS = "from specsim.engines.compiled.ahead import compile_all; compile_all(processes=1)"
_COLD_LIMIT = 30.0
_REPETITIONS = 5


def measure(*, quick: bool, report: Callable[[str], object]) -> list[dict[str, Any]]:
    """Return one row per way to start; seconds are (wall, CPU) of each process."""
    taken: list[list[tuple[float, float]]] = [[] for _ in WARM]
    # In turn, so that a change of the machine's load meets all of them.
    for repetition in range(_REPETITIONS + 1):
        for times, (name, arguments, _) in zip(taken, WARM, strict=True):
            report(f"startup: {name}")
            spent = spend(arguments)
            if repetition > 0:
                times.append(spent)
    walls = [median(wall for wall, _ in times) for times in taken]
    rows = [
        {
            "what": name,
            "times": times,
            "wall": wall,
            "cpu": median(cpu for _, cpu in times),
            "limit": None if most is None else most * walls[0],
            "met": None if most is None else wall <= most * walls[0],
        }
        for (name, _, most), times, wall in zip(WARM, taken, walls, strict=True)
    ]
    if not quick:
        rows.append(cold(report))
    return rows


def cold(report: Callable[[str], object]) -> dict[str, Any]:
    """Return the CPU time of compiling all kernels, the imports of Numba included.

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
