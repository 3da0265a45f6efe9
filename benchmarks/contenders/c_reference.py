"""Hand-written C with the method, the tables and the random words of the alias engine."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.contenders.base import Answer, Contender, Run, alias_tables, empty_answer
from specsim import ModelPair
from specsim.engines.alias.tables import Layout, byte_planes

SOURCES = Path(__file__).resolve().parents[1] / "reference"
FLAGS = ("-O3", "-march=native", "-shared", "-fPIC")


def contenders() -> list[Contender]:
    """Return the C kernels, or nothing without a compiler."""
    library = load()
    if library is None:
        return []
    found = [
        Contender(
            name="C gather",
            note=f"collapsed alias tables, intrinsics, Philox4x32-10; {compiler()} {' '.join(FLAGS[:2])}",
            prepare=_gather,
        )
    ]
    if library.can_permute():
        found.append(
            Contender(
                name="C permute",
                note="the same, tables in registers (at most 8 tokens)",
                gathers=False,
                prepare=_permute,
            )
        )
    return found


def compiler() -> str | None:
    """Return the C compiler's name: the variable CC, else gcc or cc."""
    return next((name for name in (os.environ.get("CC"), "gcc", "cc") if name and shutil.which(name)), None)


@cache
def load() -> ctypes.CDLL | None:
    """Compile the reference for this processor and load it."""
    chosen = compiler()
    if chosen is None:
        return None
    files = sorted(SOURCES.glob("*.[ch]"))
    key = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    folder = Path(tempfile.mkdtemp(prefix="specsim-bench-"))
    try:
        target = folder / f"reference-{key}.so"
        sources = [str(file) for file in files if file.suffix == ".c"]
        done = subprocess.run([chosen, *FLAGS, "-o", str(target), *sources], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{chosen} could not compile {SOURCES}: {done.stderr.strip()}")
        return ctypes.CDLL(str(target))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _gather(pair: ModelPair) -> Run:
    library = load()
    assert library is not None
    entries, bits, initial, initial_bits = alias_tables(pair)
    stride = entries.shape[1] if len(entries) > 1 else 0

    def run(runs: int, seed: int) -> Answer:
        answer = empty_answer(pair)
        library.simulate_gather(
            ctypes.c_uint64(seed), ctypes.c_uint64(0), ctypes.c_int64(runs), ctypes.c_int64(pair.horizon),
            _pointer(initial), ctypes.c_uint32(initial_bits), _pointer(entries), ctypes.c_int64(stride),
            ctypes.c_uint32(bits), ctypes.c_int64(pair.tokens), _pointer(answer.token_count),
            _pointer(answer.by_step), _pointer(answer.rejection_count),
        )  # fmt: skip
        return answer

    return run


def _permute(pair: ModelPair) -> Run | None:
    if pair.tokens > 8 or pair.contexts > 8:
        return None
    library = load()
    assert library is not None
    entries, bits, initial, initial_bits = alias_tables(pair)
    planes = byte_planes(entries, Layout(bits=bits, rows=pair.contexts, root=0, bonus=0))
    stride = planes.shape[1] if len(planes) > 1 else 0

    def run(runs: int, seed: int) -> Answer:
        answer = empty_answer(pair)
        library.simulate_permute(
            ctypes.c_uint64(seed), ctypes.c_uint64(0), ctypes.c_int64(runs), ctypes.c_int64(pair.horizon),
            _pointer(initial), ctypes.c_uint32(initial_bits), _pointer(planes), ctypes.c_int64(stride),
            ctypes.c_int64(pair.tokens), _pointer(answer.token_count), _pointer(answer.by_step),
            _pointer(answer.rejection_count),
        )  # fmt: skip
        return answer

    return run
