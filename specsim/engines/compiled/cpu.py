"""What the processor that kernels are compiled for can do; Numba itself is not needed to tell."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path

#: Byte permutations of two 512-bit registers, on all 64 bytes.
_PERMUTING = ("avx512f", "avx512bw", "avx512vbmi")

#: Permutations of two 512-bit registers, on all 16 words.
_PERMUTING_WORDS = "avx512f"

#: A file from which Numba takes settings when it lies in the working directory.
_NUMBA_FILE = ".numba_config.yaml"


@cache
def _settings() -> tuple[str | None, str | None]:
    """Processor and features that Numba was told to compile for, or None for this one's."""
    if "numba" in sys.modules or Path(_NUMBA_FILE).exists():
        from numba import config

        return config.CPU_NAME, config.CPU_FEATURES  # type: ignore[attr-defined]
    return os.environ.get("NUMBA_CPU_NAME"), os.environ.get("NUMBA_CPU_FEATURES")


@cache
def features() -> frozenset[str]:
    """Names, as LLVM spells them, of the instruction sets that compiled kernels may use.

    Numba's settings for another processor (NUMBA_CPU_NAME, NUMBA_CPU_FEATURES) count.
    """
    from llvmlite import binding

    name, chosen = _settings()
    if chosen is not None:
        return frozenset(feature[1:] for feature in chosen.split(",") if feature.startswith("+"))
    if name is not None:
        return frozenset()
    try:
        found = binding.get_host_cpu_features()
    except RuntimeError:
        return frozenset()
    return frozenset(name for name, present in found.items() if present)


def compiled_for() -> list[str]:
    """Return what tells machine code of one kind of processor from that of another."""
    from llvmlite import binding

    name = _settings()[0]
    return [binding.get_process_triple(), name or binding.get_host_cpu_name(), *sorted(features())]


def permutes_bytes() -> bool:
    """Whether 128 table bytes can be looked up by 64 lanes in one instruction."""
    return features().issuperset(_PERMUTING)


def permutes_words() -> bool:
    """Whether 32 table words can be looked up by 16 lanes in one instruction."""
    return _PERMUTING_WORDS in features()
