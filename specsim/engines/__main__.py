"""Compiles all kernels ahead of time: ``python -m specsim.engines``."""

from specsim.support.interrupts import run


def _compile() -> None:
    from specsim.engines.compiled.ahead import compile_all
    from specsim.errors import InputError

    try:
        folder = compile_all()
    except InputError as error:
        raise SystemExit(f"specsim: error: {error}") from None
    print(f"all kernels are compiled; they are kept in {folder}")


if __name__ == "__main__":
    run(_compile)
