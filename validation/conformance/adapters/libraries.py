"""Importing the library under test, when an adapter is called and not before."""

import importlib
import importlib.metadata
from typing import Any

from specsim.errors import InputError


def load(module: str, *, package: str) -> Any:
    """Import a module of an optional library.

    module: the dotted name to import.
    package: what pip calls the library; named in the error.
    InputError: the library is missing, or it is there and does not import.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and module.split(".")[0] == error.name.split(".")[0]:
            raise InputError(f"{package} is not installed; pip install {package}") from None
        raise InputError(f"{module} does not import: {error}; pip install {package}") from error
    except ImportError as error:
        raise InputError(f"{module} does not import: {error}; install a matching {package}") from error


def narrow_seed(seed: int) -> int:
    """Return the seed, or refuse one of which torch's generator on a CPU would drop all but 32 bits.

    ValueError: it is too wide.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed}; the library's generator reads 32 bits of it")
    return seed


def version(package: str) -> str:
    """Return the installed version of a package, or ``"not installed"``."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def names_version(package: str, text: str) -> str:
    """Return ``"PACKAGE VERSION: TEXT"``, the name of a subject."""
    return f"{package} {version(package)}: {text}"
