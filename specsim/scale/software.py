"""What computed a chunk: chunks of different software are never mixed."""

from functools import cache
from pathlib import Path

from specsim.support.hashes import source_digest

#: What decides what a descriptor, a stream of random words and a tally is.
_PLACES = ("algorithms", "engines", "pairs", "support/hashes.py", "support/streams.py")


@cache
def engine_sources() -> str:
    """Return a SHA-256, in hexadecimal, of the source code that tallies depend on."""
    root = Path(__file__).resolve().parent.parent
    return source_digest(*(root / name for name in _PLACES))


def software(engine: str) -> dict[str, str]:
    """Return what must be equal for two chunks of an engine to belong together.

    Kernels of single runs give the same integers with every version of NumPy and Numba; the population engine
    draws from NumPy's generator.
    """
    import specsim

    found = {"specsim": specsim.__version__, "source": engine_sources()[:16]}
    if engine == "population":
        import numpy

        found["numpy"] = numpy.__version__
    return found


def spell(found: dict[str, str]) -> str:
    """Spell versions, such as ``specsim 1.0, source 1234``."""
    return ", ".join(f"{name} {value}" for name, value in sorted(found.items()))
