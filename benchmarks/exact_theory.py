"""CPU time of exact expected rejections by method: Python integers, FLINT, limbs, and the one chosen.

Run ``python -m benchmarks.exact_theory`` from the repository's root; ``--large`` adds 4,096 contexts (about
2 GB of memory), ``--repeats 3`` changes the number of timed calls. For every size all methods must first
return the same fraction. A line then gives the median CPU milliseconds of each method, and of the public
``expected_rejections(pair, Speculative(), exact=True)`` and ``theorem_1_rejections(pair, exact=True)``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from fractions import Fraction
from statistics import median
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from specsim import theory
from specsim.algorithms import Speculative
from specsim.pairs import ModelPair
from specsim.pairs.families import random_pair
from specsim.theory.arithmetic.integer_chains import IntegerChain
from specsim.theory.arithmetic.pair_tables import tables_of

# Contexts, horizon, tokens, stationary.
SIZES = [
    (7, 50, 7, False),
    (16, 200, 16, True),
    (64, 128, 64, False),
    (256, 64, 256, True),
    (1024, 64, 1024, True),
    (1024, 128, 1024, True),
    (1024, 64, 8, True),
]
LARGE = (4096, 64, 4096, True)
#: Longer than this (contexts x tokens x horizon) Python integers and FLINT are left out, a minute or more.
LARGEST_SIZE = {"plain": 5e6, "flint": 7e7}


def by_method(pair: ModelPair, method: str) -> Fraction:
    """Return the sum of Theorem 1 by a given method, tables included."""
    tables = tables_of(pair)

    def rows(first: int, last: int) -> tuple[Any, Any]:
        target, draft = tables.integer_rows(first, last)
        return target, np.abs(target - draft).sum(axis=-1) // 2

    return IntegerChain(tables, pair.horizon, rows, method=method).total()


def calls_of(pair: ModelPair) -> dict[str, Callable[[], Fraction]]:
    """Return what is timed, by column."""
    size = pair.contexts * pair.tokens * pair.horizon
    calls: dict[str, Callable[[], Fraction]] = {}
    for method in ("plain", "flint", "limbs"):
        if size <= LARGEST_SIZE.get(method, np.inf) and (method != "flint" or pair.stationary):
            calls[method] = lambda method=method: by_method(pair, method)  # type: ignore[misc]
    calls["expected_rejections"] = lambda: theory.expected_rejections(pair, Speculative(), exact=True)
    calls["theorem_1"] = lambda: theory.theorem_1_rejections(pair, exact=True)
    return calls


def cpu_seconds(call: Callable[[], Fraction], repeats: int) -> float:
    """Return the median CPU time of all threads of this process."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return median(times)


def main() -> None:
    """Check and time every size."""
    parser = argparse.ArgumentParser(description="CPU time of exact expected rejections.")
    parser.add_argument("--large", action="store_true", help="also 4,096 contexts")
    parser.add_argument("--repeats", type=int, default=5, help="timed calls, of which the median is printed")
    options = parser.parse_args()
    blas = sorted(
        {
            f"{pool['internal_api']} {pool['version']}"
            for pool in threadpool_info()
            if pool["user_api"] == "blas"
        }
    )
    columns = ("plain", "flint", "limbs", "expected_rejections", "theorem_1")
    print(
        f"BLAS threads: 1 ({', '.join(blas)})",
        f"median CPU milliseconds of {options.repeats} calls",
        sep="\n",
    )
    print(f"{'contexts':>8} {'tokens':>6} {'horizon':>7} {'pair':>14}", *(f"{name:>20}" for name in columns))
    with threadpool_limits(1):
        for contexts, horizon, tokens, stationary in [*SIZES, *([LARGE] if options.large else [])]:
            pair = random_pair(
                contexts=contexts,
                horizon=horizon,
                tokens=None if tokens == contexts else tokens,
                stationary=stationary,
                seed=1,
            )
            calls = calls_of(pair)
            if len({call() for call in calls.values()}) != 1:
                raise SystemExit(f"methods disagree on {pair.name}")
            cells = [
                f"{1000 * cpu_seconds(calls[name], options.repeats):20.2f}" if name in calls else f"{'-':>20}"
                for name in columns
            ]
            kind = "stationary" if stationary else "non-stationary"
            print(f"{contexts:8} {tokens:6} {horizon:7} {kind:>14}", *cells, flush=True)


if __name__ == "__main__":
    main()
