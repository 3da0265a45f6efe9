"""What the processor that kernels are compiled for can do."""

from functools import cache

#: Byte permutations of two 512-bit registers, on all 64 bytes.
_PERMUTING = ("avx512f", "avx512bw", "avx512vbmi")


@cache
def features() -> frozenset[str]:
    """Names, as LLVM spells them, of the instruction sets that compiled kernels may use.

    Numba's settings for another processor (NUMBA_CPU_NAME, NUMBA_CPU_FEATURES) count.
    """
    from llvmlite import binding
    from numba import config

    chosen = config.CPU_FEATURES  # type: ignore[attr-defined]
    if chosen is not None:
        return frozenset(feature[1:] for feature in chosen.split(",") if feature.startswith("+"))
    if config.CPU_NAME is not None:  # type: ignore[attr-defined]
        return frozenset()
    try:
        found = binding.get_host_cpu_features()
    except RuntimeError:
        return frozenset()
    return frozenset(name for name, present in found.items() if present)


def permutes_bytes() -> bool:
    """Whether 128 table bytes can be looked up by 64 lanes in one instruction."""
    return features().issuperset(_PERMUTING)


def wide_words() -> bool:
    """Whether registers hold sixteen words, which can be gathered, scattered and compressed."""
    return "avx512f" in features()
