"""What a mutant is, and the list of them all."""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from specsim.errors import InputError
from specsim.validation.witnesses import Witnesses


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One wrong witness.

    Attributes
    ----------
    name
        Lower case with hyphens.
    description
        What is wrong, in one sentence.
    cite
        Where the mistake was seen or is easily made: an erratum of the paper, an issue of a public project.
    apply
        Takes correct witnesses, returns the wrong ones; see `Witnesses.replace`.
    kills
        Ids of claims that have to reject it, beside those that name it in ``Claim.mutants``.
    """

    name: str
    description: str
    cite: str
    apply: Callable[[Witnesses], Witnesses]
    kills: tuple[str, ...] = ()


@cache
def all_mutants() -> tuple[Mutant, ...]:
    """Return every mutant: ``MUTANTS`` of each module of this package, by module name.

    Raises
    ------
    InputError
        Two mutants have the same name.
    """
    package = import_module("specsim.validation.mutants")
    found: list[Mutant] = []
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda item: item.name):
        found.extend(getattr(import_module(f"{package.__name__}.{module.name}"), "MUTANTS", ()))
    names = [mutant.name for mutant in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"mutant {name} is defined twice; names must differ")
    return tuple(found)


def get_mutants(names: Iterable[str]) -> tuple[Mutant, ...]:
    """Return the mutants of these names.

    Raises
    ------
    InputError
        One of them does not exist.
    """
    by_name = {mutant.name: mutant for mutant in all_mutants()}
    chosen = tuple(names)
    for name in chosen:
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"give one of {', '.join(by_name)}"
            raise InputError(f"mutant {name!r} is unknown; {hint}")
    return tuple(by_name[name] for name in chosen)
