"""The folder ``benchmarks`` of a checkout, which is not installed."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from specsim.errors import InputError


def load_benchmarks(module: str) -> Any:
    """Import a module of the folder ``benchmarks`` next to the package.

    InputError: the package does not stand in a checkout.
    """
    import specsim

    root = Path(specsim.__file__).resolve().parents[1]
    if not (root / "benchmarks" / "runner.py").is_file():
        raise InputError(f"this needs the folder {root / 'benchmarks'}; run it in a checkout of specsim")
    if str(root) not in sys.path:
        sys.path.append(str(root))
    return import_module(module)
