"""The literal engine through torch, for large vocabularies on a graphics processor.

The same steps, words and tallies as `specsim.engines.lockstep.engine`, to the bit; see
`specsim.engines.torch.positions` for how, and `specsim.engines.torch.tables` for the tables.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm
from specsim.engines.lockstep.plans import prepare
from specsim.engines.running.memory import require
from specsim.engines.tallies.tally import Shape, Tally
from specsim.engines.torch.positions import TEMPORARIES, WORDS_AT_ONCE, Positions
from specsim.engines.torch.state import DeviceTally
from specsim.errors import InputError, TooLargeError, UnsupportedError
from specsim.pairs import ModelPair

if TYPE_CHECKING:
    import torch

#: Environment variable that names the device.
DEVICE_VARIABLE = "SPECSIM_TORCH_DEVICE"
#: Runs per chunk: in the caches of a processor, or enough to keep a graphics processor busy.
_CHUNK = {"cpu": 2**14, "cuda": 2**20}
#: Bytes per counter while words are made: the four words and what they are made from.
_WORD_BYTES = 64


def run_torch(
    pair: ModelPair,
    algorithm: Algorithm,
    shape: Shape,
    *,
    seed: int,
    first_run: int,
    runs: int,
    threads: int,
    rejections_of_run: NDArray[np.int64] | None,
    progress: Callable[[int], object] | None,
    table_bytes: int | None = None,
    chunk_runs: int | None = None,
    device: str | None = None,
) -> Tally:
    """Run the torch engine and return its tallies.

    Parameters
    ----------
    pair, algorithm, shape, seed, first_run, runs, rejections_of_run, progress
        As for `specsim.engines.lockstep.engine.run_literal`.
    threads
        Number of threads of torch while it works on the processor.
    table_bytes
        Memory of the device for tables. Defaults to None: a quarter of what is free. Steps are processed in
        stages whose tables fit; the result does not depend on it.
    chunk_runs
        Runs that go through a position together. Defaults to None: 2^14 on the processor, 2^20 elsewhere,
        fewer where memory is short. The result does not depend on it.
    device
        ``"cpu"``, ``"cuda"`` or ``"cuda:1"``, .. Defaults to None: what the environment variable
        SPECSIM_TORCH_DEVICE says, or the first CUDA device if there is one, or the processor.

    Raises
    ------
    InputError
        torch is not installed, or there is no such device.
    UnsupportedError
        The algorithm verifies blocks.
    TooLargeError
        Tables of a single step, or the tallies, do not fit in the memory of the device or of the host.
    """
    place = _device(device)
    horizon = shape.horizon
    plan = prepare(algorithm, pair, horizon)
    if plan.kind != "chain":
        raise UnsupportedError(
            f"algorithm is {type(algorithm).__name__}, which the torch engine does not know; it runs rules "
            "that go token by token: Autoregressive, Speculative, RejectionBased, OverAcceptance, Batch, "
            "BatchAsPrinted; use engine 'literal'"
        )
    engine = Positions(pair, plan, shape, seed, place)
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
            "or use engine 'literal', whose result is the same"
        ) from None
    chosen = name or os.environ.get(DEVICE_VARIABLE) or ("cuda" if torch.cuda.is_available() else "cpu")
    devices = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    full = "cuda:0" if chosen == "cuda" else chosen
    if full not in devices:
        raise InputError(f"{DEVICE_VARIABLE} is {chosen!r}; give one of {', '.join(devices)}")
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
