"""The loops of PEARL, of chains of models and of SSD against the same loops in C."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from benchmarks.contenders.c_reference import load
from benchmarks.timing import clock
from specsim import Clock, ModelPair, model_chain
from specsim.engines.systems import pearl, polybasic, ssd
from specsim.engines.systems.chunks import Prepared

#: CPU nanoseconds per emitted token, and the quotient to C.
MOST_NANOSECONDS, MOST_QUOTIENT = 300.0, 2.2
#: System, tokens, whether it is quick.
CASES = [
    (system, tokens, tokens == 7)
    for system in ("PEARL", "three models, exact blocks", "three models, whole buffers", "SSD")
    for tokens in (7, 64)
]
_HORIZON, _LENGTH, _LENGTHS = 50, 4, (6, 3)
_CLOCK = Clock(draft=0.1, overhead=0.05, token=0.01)

#: Runs (runs, seed) and returns what was counted.
Call = Callable[[int, int], list[np.ndarray]]


def measure(
    *, repetitions: int, seconds: float, quick: bool, report: Callable[[str], object]
) -> list[dict[str, Any]]:
    """Return two rows per case, CPU time per token and its quotient to C, after equal counts were seen."""
    chosen = [case for case in CASES if load() is not None and (case[2] or not quick)]
    return [
        row
        for system, tokens, _ in chosen
        for row in _case(system, tokens, repetitions=repetitions, seconds=seconds, report=report)
    ]


def _case(system: str, tokens: int, *, repetitions: int, seconds: float, report: Any) -> list[dict[str, Any]]:
    what = f"{system}, {tokens} tokens"
    report(f"systems: {what}")
    ours, theirs = calls(system, tokens)
    problem = None
    if not all(np.array_equal(a, b) for a, b in zip(ours(300, 3), theirs(300, 3), strict=True)):
        problem = "counts differ from those of C"
    # So many that tallies of a few MB, which are made anew in each call, do not matter.
    runs = [max(1, int(1000 * seconds / max(clock(call, 1000, 1), 1e-5))) for call in (ours, theirs)]
    times = [
        [
            1e9 * clock(call, count, turn) / count / _HORIZON
            for call, count in zip((ours, theirs), runs, strict=True)
        ]
        for turn in range(0 if problem else repetitions)
    ]

    def row(text: str, values: list[float], limit: float | None) -> dict[str, Any]:
        met = None if limit is None else bool(values) and median(values) <= limit
        return {"what": f"{what}: {text}", "values": values, "limit": limit, "met": met, "problem": problem}

    return [
        row("CPU ns per token", [one for one, _ in times], MOST_NANOSECONDS),
        row("the same in C", [other for _, other in times], None),
        row("quotient", [one / other for one, other in times], MOST_QUOTIENT),
    ]


def calls(system: str, tokens: int) -> tuple[Call, Call]:
    """Return the engine's loop and C's, on one pair or chain, with tables built."""
    generator = np.random.default_rng(tokens)
    contexts = min(tokens, 64)
    rows = generator.dirichlet(np.full(tokens, 0.3), (2, contexts))
    pair = ModelPair.from_probabilities(
        rows[0], 0.6 * rows[0] + 0.4 * rows[1], initial=np.full(contexts, 1 / contexts), horizon=_HORIZON,
        next_context=generator.integers(0, contexts, (contexts, tokens)),
    )  # fmt: skip
    if system == "PEARL":
        prepared = pearl.prepare(pair, _LENGTH, _CLOCK, _HORIZON)
        return _ours(pearl.compiled(), prepared), _theirs(prepared, _pearl_arguments, "simulate_pearl")
    if system == "SSD":
        prepared = ssd.prepare(
            pair, _LENGTH, _CLOCK, _HORIZON, guesses=((2,) * (_LENGTH + 1),) * 2, backup=pair,
            backup_clock=_CLOCK, ranked_by=pair, finishes_cache=False, batch=1,
        )  # fmt: skip
        return _ours(ssd.compiled(), prepared), _theirs(prepared, _ssd_arguments, "simulate_ssd")
    exact = system.endswith("exact blocks")
    prepared = polybasic.prepare(model_chain(pair, 0.5), _LENGTHS, _CLOCK, [0.3], exact, _HORIZON)
    return _ours(polybasic.compiled(), prepared), _theirs(prepared, _chain_arguments, "simulate_chain")


def _counts(prepared: Prepared, runs: int) -> list[np.ndarray]:
    shapes = [*((*shape, runs) for shape in prepared.each), *prepared.sums]
    return [np.zeros(shape, np.int64) for shape in shapes]


def _ours(decode: Callable[..., object], prepared: Prepared) -> Call:
    def run(runs: int, seed: int) -> list[np.ndarray]:
        counts = _counts(prepared, runs)
        decode(np.array([seed, 0, 0], np.uint64), 0, *prepared.arguments, *counts)
        return counts

    return run


def _theirs(prepared: Prepared, arguments: Callable[..., tuple[Any, ...]], name: str) -> Call:
    given = arguments(*prepared.arguments)
    library = load()
    assert library is not None

    def run(runs: int, seed: int) -> list[np.ndarray]:
        counts = _counts(prepared, runs)
        getattr(library, name)(
            ctypes.c_uint64(seed), ctypes.c_int64(runs), *map(_in_c, given), *map(_in_c, counts)
        )
        return counts

    return run


def _in_c(value: Any) -> Any:
    return ctypes.c_void_p(value.ctypes.data) if isinstance(value, np.ndarray) else ctypes.c_int64(int(value))


def _table(table: Any) -> tuple[Any, ...]:
    return table.last, table.guide, 32 - int(table.shift)


def _pearl_arguments(
    longest: Any, horizon: Any, offset: Any, following: Any, prompt: Any, drafts: Any, *rest: Any
) -> tuple[Any, ...]:
    shape = following.shape
    return longest, horizon, *shape, offset, following, *_table(prompt), *_table(drafts), *rest


def _ssd_arguments(
    longest: Any, horizon: Any, offset: Any, following: Any, prompt: Any, drafts: Any, targets: Any,
    target: Any, draft: Any, excess: Any, ranks: Any, rows_of: Any, guesses: Any, calls: Any, *rest: Any,
) -> tuple[Any, ...]:  # fmt: skip
    return (
        longest, horizon, *following.shape, len(calls), offset, following, *_table(prompt), *_table(drafts),
        *_table(targets), target, draft, excess, ranks, rows_of, guesses, guesses.shape[1], calls, *rest,
    )  # fmt: skip


def _chain_arguments(
    lengths: Any, exact: Any, horizon: Any, offset: Any, following: Any, prompt: Any, table: Any,
    rows: Any, excess: Any, draft_ticks: Any, call_ticks: Any, overhead: Any,
) -> tuple[Any, ...]:  # fmt: skip
    return (
        len(lengths), lengths, exact, horizon, *following.shape, offset, following, *_table(prompt),
        *_table(table), rows.shape[1], rows, excess, draft_ticks, call_ticks, call_ticks.shape[1] - 1,
        overhead,
    )  # fmt: skip
