"""Packages whose names are loaded on first use and listed once, in the stub that type checkers read."""

import re
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

_IMPORT = re.compile(r"^from (\S+) import (\([^)]*\)|.*)$", re.MULTILINE)


def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a package.

    package, file: its ``__name__`` and ``__file__``. Every name in the ``__init__.pyi`` next to it is
        imported there as ``from MODULE import NAME as NAME``.
    """
    with open(f"{file.removesuffix('c')}i", encoding="utf-8") as stub:
        found = _IMPORT.findall(stub.read())
    homes = {name: module for module, names in found for name in re.findall(r"(\w+) as \w+", names)}

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if homes[name] == package:
            return import_module(f"{package}.{name}")
        value = getattr(import_module(homes[name]), name)
        vars(sys.modules[package])[name] = value
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return load, names, sorted(homes)
