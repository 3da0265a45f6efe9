"""How CPU time grows with runs, horizon, vocabulary, candidates and threads: exponents of log-log lines."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.checks import disagreement, laws
from benchmarks.contenders.base import Answer
from benchmarks.timing import pinned
from specsim import Batch, ModelPair, Speculative, random_pair, simulate
from specsim.algorithms import Algorithm
from specsim.engines.running.scheduling import available_cores

ENGINES = ("lockstep", "alias", "population")
_CHECK_RUNS = 2**13


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One quantity that grows.

    Attributes
    ----------
    quantity
        Its name.
    values
        What it is set to.
    at
        What else is fixed, in words.
    make
        Returns pair, algorithm and runs for a value.
    most
        The largest exponent of the total CPU time that is stated, by engine.
    """

    quantity: str
    values: tuple[int, ...]
    at: str
    make: Callable[[int], tuple[ModelPair, Algorithm, int]]
    most: dict[str, float]


def _pair(contexts: int = 16, horizon: int = 64) -> ModelPair:
    return random_pair(contexts=contexts, horizon=horizon, seed=1, stationary=True)


SWEEPS = [
    Sweep(
        quantity="runs",
        values=(2**16, 2**17, 2**18, 2**19),
        at="S=16 T=64",
        make=lambda runs: (_pair(), Speculative(), runs),
        most={"lockstep": 1.0, "alias": 1.0, "population": 0.0},
    ),
    Sweep(
        quantity="horizon",
        values=(32, 64, 128, 256),
        at="S=16, 2^16 runs",
        make=lambda horizon: (_pair(horizon=horizon), Speculative(), 2**16),
        # Population: every number of rejections so far, at every step.
        most={"lockstep": 1.0, "alias": 1.0, "population": 2.0},
    ),
    Sweep(
        quantity="vocabulary",
        values=(16, 32, 64, 128, 256),
        at="T=16 stationary, 2^18 runs, tables included where an engine keeps none",
        make=lambda size: (_pair(size, 16), Speculative(), 2**18),
        # Run by run a token costs a look-up, whatever the vocabulary; counts have a row per context.
        most={"lockstep": 0.5, "alias": 0.5, "population": 2.0},
    ),
    Sweep(
        quantity="candidates M",
        values=(2, 4, 8, 16, 32),
        at="S=16 T=64, 2^16 runs",
        make=lambda drafts: (_pair(), Batch(drafts=drafts), 2**16),
        most={"lockstep": 0.5, "alias": 0.0, "population": 1.0},
    ),
]
#: What a measured exponent may exceed its statement by: caches fill, fixed costs fade.
TOLERANCE = 0.15


def measure(*, repetitions: int, quick: bool, report: Callable[[str], object]) -> list[dict[str, Any]]:
    """Return one row per quantity and engine: values, CPU seconds, exponent with its range."""
    rows = []
    for sweep in SWEEPS:
        values = sweep.values[:3] if quick else sweep.values
        for engine in ENGINES:
            report(f"scaling: {sweep.quantity}, {engine}")
            with pinned():
                rows.append(_row(sweep, engine, values, repetitions))
    for engine in ENGINES[:2]:
        report(f"scaling: threads, {engine}")
        rows.append(threads_row(engine, repetitions, 0.05 if quick else 0.3))
    return rows


def exponent(values: tuple[int, ...], seconds: list[float]) -> float:
    """Return the slope of the line of least squares through the logarithms."""
    return float(np.polyfit(np.log(values), np.log(seconds), 1)[0])


def _row(sweep: Sweep, engine: str, values: tuple[int, ...], repetitions: int) -> dict[str, Any]:
    settings = [sweep.make(value) for value in values]
    row: dict[str, Any] = {
        "quantity": sweep.quantity,
        "engine": engine,
        "at": sweep.at,
        "values": list(values),
        "most": sweep.most[engine],
        "problem": None,
    }
    for value, (pair, algorithm, _) in zip(values, settings, strict=True):
        answer = _answer(pair, algorithm, _CHECK_RUNS, engine, 7)
        wrong = disagreement(answer, _CHECK_RUNS, laws(pair, algorithm))
        if wrong is not None:
            return row | {"problem": f"{sweep.quantity} {value}: {wrong}"}
    times = np.zeros((repetitions, len(values)))
    for repetition in range(repetitions):
        for place, (pair, algorithm, runs) in enumerate(settings):
            # Once unclocked: the alias engine keeps the tables of one pair.
            _answer(pair, algorithm, 1, engine, 1)
            begin = time.process_time()
            _answer(pair, algorithm, runs, engine, repetition)
            times[repetition, place] = time.process_time() - begin
    slopes = [exponent(values, list(line)) for line in times]
    median = exponent(values, list(np.median(times, axis=0)))
    return row | {
        "seconds": times.T.tolist(),
        "exponent": median,
        "low": min(slopes),
        "high": max(slopes),
        "met": median <= sweep.most[engine] + TOLERANCE,
    }


def _answer(
    pair: ModelPair, algorithm: Algorithm, runs: int, engine: str, seed: int, threads: int = 1
) -> Answer:
    result = simulate(
        pair, algorithm, runs=runs, seed=seed, engine=engine, threads=threads, tallies="rejections"
    )
    return Answer(
        by_step=result.rejections_by_step.values,
        rejection_count=result.rejection_count.values,
        token_count=result.token_count.values,
    )


def threads_row(engine: str, repetitions: int, seconds: float) -> dict[str, Any]:
    """Return CPU per token with one and two threads, and how much sooner two finish, in wall time."""
    pair, algorithm = _pair(), Speculative()
    row: dict[str, Any] = {"quantity": "threads", "engine": engine, "at": "S=16 T=64", "values": [1, 2]}
    wrong = disagreement(
        _answer(pair, algorithm, _CHECK_RUNS, engine, 7, 2), _CHECK_RUNS, laws(pair, algorithm)
    )
    if wrong is not None or available_cores() < 2:
        return row | {"problem": wrong}
    begin = time.process_time()
    _answer(pair, algorithm, 2**18, engine, 1)
    runs = int(2**18 * max(1.0, 2 * seconds / (time.process_time() - begin)))
    cpu, wall = np.zeros((repetitions, 2)), np.zeros((repetitions, 2))
    for repetition in range(repetitions):
        for place, threads in enumerate((1, 2)):
            clocks = time.process_time(), time.perf_counter()
            _answer(pair, algorithm, runs, engine, repetition, threads)
            cpu[repetition, place] = time.process_time() - clocks[0]
            wall[repetition, place] = time.perf_counter() - clocks[1]
    ratios = wall[:, 0] / wall[:, 1]
    return row | {
        "problem": None,
        "cpu_nanoseconds": (np.median(cpu, axis=0) / (runs * pair.horizon) * 1e9).tolist(),
        "cpu_ratio": float(np.median(cpu[:, 1] / cpu[:, 0])),
        "wall_ratio": float(np.median(ratios)),
        "low": float(ratios.min()),
        "high": float(ratios.max()),
        "met": bool(np.median(ratios) >= 1.8),
    }
