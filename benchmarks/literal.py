"""The literal engine's loop against the same loop in C, and what its kernels cost to compile."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from types import FunctionType
from typing import Any

import numba
import numpy as np

from benchmarks.contenders.c_reference import load
from benchmarks.startup import ROOT
from benchmarks.timing import clock
from specsim import ModelPair
from specsim.algorithms import get_rule
from specsim.engines.compiled.jit import OPTIONS
from specsim.engines.literal import engine, helpers
from specsim.engines.literal.kernels import Kernel, kernel_of
from specsim.engines.literal.pointers import VERIFY, loop_and_kernel
from specsim.engines.request import Request
from specsim.engines.tallies.tally import Shape, Tally

#: Rule, tokens, whether the engine scans rows as C does, quotient asked for, whether it is quick.
CASES = [
    *((rule, tokens, True, 2.2, tokens == 7) for rule in ("ratio", "block") for tokens in (7, 64)),
    *((rule, 1024, True, 1.3, False) for rule in ("ratio", "block")),
    *((rule, 32768, False, 0.1, False) for rule in ("ratio", "block")),
]
_HORIZON, _LENGTH = 50, 4
_SCANS = {"excess": helpers.scanned_excess, "draw_excess": helpers.draw_scanned_excess}
_COMPILE = """
from specsim.engines.literal import pointers
from specsim.engines.literal.kernels import kernel_of
from specsim.algorithms import get_rule
import numba, time
numba.njit("int64(int64)")(lambda x: x)
for name in ("ratio", "traversal-distinct"):
    begin = time.process_time()
    rule = get_rule(name)
    pointers.compiled(kernel_of(rule).verify, pointers.VERIFY, '', name)
    print(name, time.process_time() - begin)
begin = time.process_time()
pointers.compiled_loop()
print("loop", time.process_time() - begin)
"""

#: Runs (runs, seed) and returns the tallies.
Call = Callable[[int, int], list[np.ndarray]]


def measure(
    *, repetitions: int, seconds: float, quick: bool, report: Callable[[str], object]
) -> list[dict[str, Any]]:
    """Return a row per case: quotients of interleaved CPU times, after equal tallies were seen."""
    chosen = [case for case in CASES if load() is not None and (case[4] or not quick)]
    rows = [_case(*case[:4], repetitions=repetitions, seconds=seconds, report=report) for case in chosen]
    return rows + ([] if quick else compiling(report=report))


def _case(
    rule: str, tokens: int, scans: bool, limit: float, *, repetitions: int, seconds: float, report: Any
) -> dict[str, Any]:
    report(f"literal: {rule}, {tokens} tokens")
    ours, theirs = calls(rule, tokens, scans)
    problem = None
    if scans and not all(np.array_equal(a, b) for a, b in zip(ours(500, 3), theirs(500, 3), strict=True)):
        problem = "tallies differ from those of C"
    turns = range(0 if problem else repetitions)
    runs = [max(1, int(20 * seconds / max(clock(call, 20, 1), 1e-5))) for call in (ours, theirs)]
    times = [[clock(ours, runs[0], turn) / runs[0], clock(theirs, runs[1], turn) / runs[1]] for turn in turns]
    quotients = [one / other for one, other in times]
    return {
        "what": f"{rule}, {tokens} tokens, {'rows scanned' if scans else 'by thinning'}, against C",
        "nanoseconds": [[1e9 * spent / _HORIZON for spent in both] for both in times],
        "values": quotients,
        "limit": limit,
        "met": bool(quotients) and median(quotients) <= limit,
        "problem": problem,
    }


def calls(rule: str, tokens: int, scans: bool) -> tuple[Call, Call]:
    """Return the engine's loop and C's, on one pair, with tables built."""
    generator = np.random.default_rng(tokens)
    contexts = min(tokens, 64 if tokens < 32768 else 8)
    rows = generator.dirichlet(np.full(tokens, 0.3), (2, contexts))
    pair = ModelPair.from_probabilities(
        rows[0], 0.6 * rows[0] + 0.4 * rows[1], initial=np.full(contexts, 1 / contexts), horizon=_HORIZON,
        next_context=generator.integers(0, contexts, (contexts, tokens)),
    )  # fmt: skip
    algorithm = get_rule(rule)(draft_length=_LENGTH)
    shape = Shape.of(pair, _HORIZON, False)
    request = Request(
        pair=pair, algorithm=algorithm, shape=shape, engine="literal", seed=0, first_run=0, runs=1,
        per_run=False,
    )  # fmt: skip
    kernel = kernel_of(algorithm.rule)
    structure = algorithm.structure(_HORIZON)
    step, models = engine.shared_tables(request, kernel, structure)
    loop, verify, propose, drawing = loop_and_kernel(algorithm, kernel)
    if scans:
        kernel = scanning(kernel)
        # Not kept on disk: Numba would take it for the kernel whose text it has.
        verify = numba.njit(VERIFY, **(OPTIONS | {"_nrt": False}))(kernel.verify)
        step = step._replace(profile=np.zeros((0, 3, 1)))

    def ours(runs: int, seed: int) -> list[np.ndarray]:
        tally = Tally(shape)
        space, own_models, counts = engine.own_space(step, models, tally, structure, kernel)
        space.key[0] = seed
        wrong = np.zeros(3, np.int64)
        loop(verify, propose, drawing, True, space, own_models, counts, np.uint64(0), runs, wrong)
        return _arrays(tally)

    def theirs(runs: int, seed: int) -> list[np.ndarray]:
        tally = Tally(shape)
        arrays = _arrays(tally)
        pointers = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
        prompt, drafts, targets = models.prompt, models.draft, step.table

        def at(array: np.ndarray) -> ctypes.c_void_p:
            return ctypes.c_void_p(array.ctypes.data)

        library, whole = load(), ctypes.c_int64
        assert library is not None
        library.simulate_literal(
            ctypes.c_int(rule == "block"), ctypes.c_uint64(seed), whole(runs), whole(_HORIZON),
            whole(_LENGTH), whole(tokens), at(step.target), at(step.draft), at(prompt.last), at(prompt.guide),
            ctypes.c_int(32 - int(prompt.shift)), whole(contexts), at(drafts.last), at(drafts.guide),
            at(targets.last), at(targets.guide), ctypes.c_int(32 - int(drafts.shift)),
            at(models.next_context), whole(0), whole(tokens if shape.transitions else 0), pointers,
        )  # fmt: skip
        return arrays

    return ours, theirs


def scanning(kernel: Kernel) -> Kernel:
    """Return the same kernel with helpers that scan rows at every size."""
    verify = kernel.verify
    return replace(kernel, verify=FunctionType(verify.__code__, {**verify.__globals__, **_SCANS}))


def _arrays(tally: Tally) -> list[np.ndarray]:
    return [
        tally.rejections_by_step, tally.rejection_count, tally.target_call_count, tally.accepted_length_count,
        tally.accepted_length_square_sum, tally.first_accepted_length_count, tally.round_count, tally.tokens,
    ]  # fmt: skip


def compiling(*, report: Callable[[str], object]) -> list[dict[str, Any]]:
    """Return CPU seconds to compile kernels, and to read them in a new process."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"SPECSIM_CACHE_DIR": folder, "PYTHONPATH": str(ROOT)}
        for what, limit in (("compile", 2.0), ("from the cache in a new process", 0.1)):
            report(f"literal: {what}")
            done = subprocess.run(
                [sys.executable, "-c", _COMPILE], env=environment, capture_output=True, text=True, check=True
            )
            for line in done.stdout.splitlines():
                name, spent = line.split()
                asked = None if name == "loop" else limit
                rows.append(
                    {
                        "what": f"{name}: {what}, CPU seconds",
                        "values": [float(spent)],
                        "limit": asked,
                        "met": None if asked is None else float(spent) <= asked,
                        "problem": None,
                    }
                )
    return rows
