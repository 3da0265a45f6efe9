"""The lockstep engine through torch, for large vocabularies on a graphics processor.

The same steps, words and tallies as `specsim.engines.lockstep.engine`, to the bit; see
`specsim.engines.torch.positions` for how, and `specsim.engines.torch.tables` for the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from specsim.engines.lockstep.plans import prepare
from specsim.engines.request import Request
from specsim.engines.running.memory import require
from specsim.engines.tallies.tally import Tally
from specsim.engines.torch.positions import TEMPORARIES, WORDS_AT_ONCE, Positions
from specsim.engines.torch.state import DeviceTally
from specsim.errors import InputError, TooLargeError

if TYPE_CHECKING:
    import torch

#: Runs per chunk: in the caches of a processor, or enough to keep a graphics processor busy.
_CHUNK = {"cpu": 2**14, "cuda": 2**20}
#: Bytes per counter while words are made: the four words and what they are made from.
_WORD_BYTES = 64


def check(request: Request) -> None:
    """Raise `InputError` when the engine cannot serve the request."""
    prepare(request.algorithm, request.pair, request.shape.horizon)


def run(
    request: Request,
    first_run: int,
    runs: int,
    *,
    threads: int,
    rejections_of_run: NDArray[np.int64] | None = None,
    progress: Callable[[int], object] | None = None,
    table_bytes: int | None = None,
    chunk_runs: int | None = None,
) -> Tally:
    """Simulate some runs of a request; see `specsim.engines.request.Engine`.

    table_bytes: memory of the device for tables. Defaults to None: a quarter of what is free. Steps are
        processed in stages whose tables fit; the result does not depend on it.
    chunk_runs: runs that go through a position together. Defaults to None: 2^14 on the processor, 2^20
        elsewhere, fewer where memory is short. The result does not depend on it.
    InputError: torch is not installed, or there is no such device.
    """
    pair, shape = request.pair, request.shape
    check(request)
    place = _device(request.device)
    horizon = shape.horizon
    plan = prepare(request.algorithm, pair, horizon)
    engine = Positions(pair, plan, shape, request.seed, place)
    memory = _Memory(engine, runs, table_bytes, chunk_runs)
    finished = 0
    with _threads_of(place, threads):
        total = DeviceTally(shape, place)
        for first, size in _cut(first_run, runs, memory.group):
            states = [engine.start(*task) for task in _cut(first, size, memory.chunk)]
            for begin in range(0, horizon, memory.stage):
                end = min(horizon, begin + memory.stage)
                engine.load(begin, end)
                for state in states:
                    engine.advance(state, total, begin, end)
                    if end == horizon:
                        rejections = total.finish(state, plan.draft_length)
                        if rejections_of_run is not None:
                            start = state.first - first_run
                            rejections_of_run[start : start + state.size] = rejections.cpu().numpy()
                        finished += state.size
                        if progress is not None:
                            progress(finished)
        return total.on_host()


def _device(name: str | None) -> torch.device:
    """Return the device to use."""
    try:
        import torch
    except ImportError:
        raise InputError(
            "engine is 'torch', and torch is not installed; pip install 'specsim-decoding[torch]', "
            "or use engine 'lockstep', whose result is the same"
        ) from None
    chosen = name or ("cuda" if torch.cuda.is_available() else "cpu")
    devices = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    full = "cuda:0" if chosen == "cuda" else chosen
    if full not in devices:
        raise InputError(f"device is {chosen!r}; give one of {', '.join(devices)}")
    return torch.device(full)


@contextmanager
def _threads_of(device: torch.device, threads: int) -> Iterator[None]:
    """Use a number of threads on the processor, and no gradients."""
    import torch

    before = torch.get_num_threads()
    try:
        if device.type == "cpu":
            torch.set_num_threads(threads)
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)


def _cut(first: int, runs: int, size: int) -> Iterator[tuple[int, int]]:
    """Split a range of runs; yields (first run, number of runs)."""
    for done in range(0, runs, size):
        yield first + done, min(size, runs - done)


class _Memory:
    """How many runs and steps are worked on at once, so that all fits; refuses what cannot fit."""

    def __init__(self, engine: Positions, runs: int, table_bytes: int | None, chunk_runs: int | None) -> None:
        plan, shape, sizes = engine.plan, engine.shape, engine.sizes
        free = engine.free_bytes()
        if table_bytes is None:
            table_bytes = free // 4
        kind = engine.device.type
        state = engine.state_bytes()
        passing = 8 * TEMPORARIES
        most = max(1024, free // 4 // (state + passing))
        staged = plan.table_steps > 1
        horizon = shape.horizon
        self.stage = min(horizon, max(1, table_bytes // sizes.step_bytes)) if staged else horizon
        self.chunk = min(runs, chunk_runs or min(_CHUNK[kind], most))
        # Tables of a stage are built once per group of runs.
        together = max(1, free // 8 // (state * self.chunk)) if self.stage < horizon else 1
        self.group = self.chunk * together
        groups = min(self.group, runs)
        copies = 2 if engine.needs_levels else 0
        tables = sizes.step_bytes * (self.stage if staged else 1) + engine.kept_bytes
        device = (
            tables
            + shape.bytes
            + state * (groups + copies * self.chunk)
            + passing * self.chunk
            + _WORD_BYTES * WORDS_AT_ONCE[kind]
        )
        host = sizes.scratch_bytes + shape.bytes
        remedy = "use fewer drafts, tokens or contexts, or a shorter horizon"
        what = f"tables, tallies and {groups} runs at once"
        if kind == "cpu":
            require(device + host, what, remedy)
            return
        require(host, "building tables", remedy)
        if device > free:
            raise TooLargeError(
                f"{what} would take {device} bytes and {free} are free on {engine.device}; {remedy}"
            )
