"""Objects with names that the modules of a package define in a tuple of one name, such as ``MUTANTS``."""

import pkgutil
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from specsim.errors import InputError
from specsim.support.checks import unknown


def collect(package: str, attribute: str, kind: str) -> tuple[Any, ...]:
    """Return the objects in the tuple `attribute` of each module of a package, by module name.

    InputError: two objects have the same name.
    """
    found: list[Any] = []
    for module in sorted(pkgutil.iter_modules(import_module(package).__path__), key=lambda item: item.name):
        found.extend(getattr(import_module(f"{package}.{module.name}"), attribute, ()))
    names = [item.name for item in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{kind} {name} is defined twice; names must differ")
    return tuple(found)


def choose(kind: str, known: tuple[Any, ...], names: Iterable[str]) -> tuple[Any, ...]:
    """Return the objects of these names.

    InputError: one of them does not exist.
    """
    by_name = {item.name: item for item in known}
    return tuple(by_name[name] if name in by_name else unknown(kind, name, by_name) for name in names)
