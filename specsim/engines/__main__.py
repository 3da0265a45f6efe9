"""Compiles all kernels ahead of time: ``python -m specsim.engines``."""

from specsim.support.interrupts import run


def _compile() -> None:
    from specsim.engines.compiled.ahead import compile_all, kernels
    from specsim.engines.compiled.cache import cache_folder
    from specsim.errors import InputError

    try:
        count = compile_all(report=print)
    except InputError as error:
        raise SystemExit(f"specsim: error: {error}") from None
    print(f"{count} of {len(kernels())} kernels had to be compiled; they are kept in {cache_folder()}")


if __name__ == "__main__":
    run(_compile)
