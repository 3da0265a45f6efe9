"""What computed a chunk: chunks of different software are never mixed."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

#: Definitions that decide what a descriptor or a stream of random words is.
_DEFINITIONS = ("algorithms", "pairs")


@cache
def source_digest() -> str:
    """Return a SHA-256, in hexadecimal, of the source code that tallies depend on."""
    root = Path(__file__).resolve().parent.parent
    files = sorted(file for name in (*_DEFINITIONS, "engines") for file in (root / name).rglob("*.py"))
    state = hashlib.sha256()
    for file in files:
        # Line ends differ between checkouts.
        text = file.read_bytes().replace(b"\r\n", b"\n")
        state.update(f"{file.relative_to(root).as_posix()} {len(text)}\n".encode() + text)
    return state.hexdigest()


def software(engine: str) -> dict[str, str]:
    """Return what must be equal for two chunks of an engine to belong together.

    Kernels of single runs give the same integers with every version of NumPy and Numba; the population engine
    draws from NumPy's generator.
    """
    import specsim

    found = {"specsim": specsim.__version__, "source": source_digest()[:16]}
    if engine == "population":
        import numpy

        found["numpy"] = numpy.__version__
    return found


def spell(found: dict[str, str]) -> str:
    """Spell versions, such as ``specsim 1.0, source 1234``."""
    return ", ".join(f"{name} {value}" for name, value in sorted(found.items()))
