"""Physical ceilings: random words, and random words with a gather each from the workload's tables."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.contenders import c_reference
from benchmarks.contenders.base import alias_tables
from specsim import ModelPair
from specsim.engines.compiled import words as alias_words
from specsim.engines.compiled.philox import philox

Words = NDArray[np.uint32]

BLOCK = 2048
_CHECK_RUNS = 3


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """Something that a simulator does at least, and nothing else.

    Attributes
    ----------
    name
        Short, unique.
    prepare
        Takes a pair, returns the call (runs, seed) -> sum of everything read, modulo 2^32.
    expected
        The same sum, slowly.
    """

    name: str
    note: str
    prepare: Callable[[ModelPair], Callable[[int, int], int]]
    expected: Callable[[ModelPair, int, int], int]


def ceilings() -> list[Ceiling]:
    """Return the ceilings, in C where a compiler is found, else in Numba."""
    language = "Numba" if c_reference.load() is None else "C"
    return [
        Ceiling(
            name="random words",
            note=f"Philox4x32-10, four positions per block, written to a buffer; {language}",
            prepare=_words,
            expected=lambda pair, runs, seed: (
                int(_reference_words(runs, pair.horizon, seed)[-1].sum()) % 2**32
            ),
        ),
        Ceiling(
            name="random gathers",
            note=f"the same, and one independent gather per word from the tables of its step; {language}",
            prepare=_gathers,
            expected=_gathered,
        ),
    ]


def problem(ceiling: Ceiling, pair: ModelPair) -> str | None:
    """Say how a ceiling's sum is wrong, or return None."""
    found = ceiling.prepare(pair)(_CHECK_RUNS, 5) % 2**32
    expected = ceiling.expected(pair, _CHECK_RUNS, 5)
    return None if found == expected else f"sum is {found}, expected {expected}"


def tables(pair: ModelPair) -> tuple[Words, int, int]:
    """Return the alias tables of all steps, entries between steps, and bits of an index within a step."""
    entries = alias_tables(pair)[0]
    stride = entries.shape[1] if len(entries) > 1 else 0
    return entries, stride, int(entries.shape[1]).bit_length() - 1


def _words(pair: ModelPair) -> Callable[[int, int], int]:
    library = c_reference.load()
    if library is None:
        sums = _numba()[0]
        return lambda runs, seed: int(sums(np.uint64(seed), runs, pair.horizon))
    library.ceiling_words.restype = ctypes.c_uint32
    return lambda runs, seed: library.ceiling_words(
        ctypes.c_uint64(seed), ctypes.c_int64(runs), ctypes.c_int64(pair.horizon)
    )


def _gathers(pair: ModelPair) -> Callable[[int, int], int]:
    library = c_reference.load()
    entries, stride, bits = tables(pair)
    if library is None:
        sums, flat = _numba()[1], entries.ravel()
        return lambda runs, seed: int(sums(np.uint64(seed), runs, pair.horizon, flat, stride, bits))
    library.ceiling_gathers.restype = ctypes.c_uint32
    return lambda runs, seed: library.ceiling_gathers(
        ctypes.c_uint64(seed), ctypes.c_int64(runs), ctypes.c_int64(pair.horizon),
        ctypes.c_void_p(entries.ctypes.data), ctypes.c_int64(stride), ctypes.c_uint32(bits),
    )  # fmt: skip


def _summed(pair: ModelPair, runs: int, seed: int) -> int:
    return int(_reference_words(runs, pair.horizon, seed)[-1].sum()) % 2**32


def _gathered(pair: ModelPair, runs: int, seed: int) -> int:
    entries, _, bits = tables(pair)
    words = _reference_words(runs, pair.horizon, seed)
    steps = [
        entries[n if len(entries) > 1 else 0][row & np.uint64(2**bits - 1)] for n, row in enumerate(words)
    ]
    return int(np.sum(steps, dtype=np.uint64)) % 2**32


def _reference_words(runs: int, horizon: int, seed: int) -> NDArray[np.uint64]:
    """Return word n of each run, shape (horizon, runs), one Philox block at a time."""
    plain, slot = philox.py_func, alias_words.SLOT
    words = np.zeros((horizon, runs), np.uint64)
    for run in range(runs):
        for n in range(horizon):
            counter = (np.uint64(n // 4), slot, np.uint64(run), np.uint64(0))
            with np.errstate(over="ignore"):
                words[n, run] = plain(*counter, np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32))[n % 4]
    return words


@cache
def _numba() -> tuple[Any, Any]:
    import numba

    fill = alias_words.fill

    @numba.njit("uint32(uint64, int64, int64)")
    def sum_words(seed, runs, horizon):
        words = np.zeros((4, BLOCK), np.uint32)
        total = np.uint32(0)
        for low in range(0, runs, BLOCK):
            size = min(BLOCK, runs - low)
            for n in range(horizon):
                if n % 4 == 0:
                    fill(words, 0, size, seed, np.uint64(low), np.uint64(n // 4))
                if n == horizon - 1:
                    for i in range(size):
                        total = np.uint32(total + words[n % 4, i])
        return total

    @numba.njit("uint32(uint64, int64, int64, uint32[::1], int64, int64)")
    def sum_gathers(seed, runs, horizon, entries, stride, bits):
        words = np.zeros((4, BLOCK), np.uint32)
        total = np.uint32(0)
        mask = np.uint32((1 << bits) - 1)
        for low in range(0, runs, BLOCK):
            size = min(BLOCK, runs - low)
            for n in range(horizon):
                if n % 4 == 0:
                    fill(words, 0, size, seed, np.uint64(low), np.uint64(n // 4))
                row, table = words[n % 4], entries[n * stride :]
                for i in range(size):
                    total = np.uint32(total + table[np.uint64(np.uint32(row[i] & mask))])
        return total

    return sum_words, sum_gathers
