"""What a wrong sampler and an unusual right one are, and the lists of them all."""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from specsim.errors import InputError
from specsim.validation.conformance.rules.base import Rule
from specsim.validation.conformance.subjects import Subject


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One deliberately wrong sampler.

    Attributes
    ----------
    name
        Lower case with hyphens.
    description
        What is wrong, in one sentence.
    cite
        Where the mistake was seen, or is easily made.
    bug_class
        Number and name of the class, such as ``"2 recovery law"``.
    subject
        The sampler. Its ``rule`` is the rule that it claims to follow.
    law
        Its exact law, computed by separate code. Defaults to None: it has none that depends on the rows of
        one step alone, or the mistake is not in the law of one call.
    killed_by
        Names of the checks that have to reject it.
    """

    name: str
    description: str
    cite: str
    bug_class: str
    subject: Subject
    law: Rule | None = None
    killed_by: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Control:
    """One sampler that looks unusual and has to pass.

    Attributes
    ----------
    name
        Lower case with hyphens.
    description
        What is unusual about it, in one sentence.
    source
        Where the rule is published, or a false alarm about it.
    subject
        The sampler.
    lossless
        Whether its output has the target's law. Defaults to True. Where False, the subject declares the rule
        of a lossy option, and has to follow that rule's law.
    """

    name: str
    description: str
    source: str
    subject: Subject
    lossless: bool = True


@cache
def all_mutants() -> tuple[Mutant, ...]:
    """Return every mutant: ``MUTANTS`` of each module of this package, by module name.

    Raises
    ------
    InputError
        Two mutants have the same name.
    """
    return _collect("MUTANTS", "mutant")


@cache
def all_controls() -> tuple[Control, ...]:
    """Return every control: ``CONTROLS`` of each module of this package, by module name.

    Raises
    ------
    InputError
        Two controls have the same name.
    """
    return _collect("CONTROLS", "control")


def get_mutants(names: Iterable[str]) -> tuple[Mutant, ...]:
    """Return the mutants of these names.

    Raises
    ------
    InputError
        One of them does not exist.
    """
    return _choose("mutant", all_mutants(), names)


def get_controls(names: Iterable[str]) -> tuple[Control, ...]:
    """Return the controls of these names.

    Raises
    ------
    InputError
        One of them does not exist.
    """
    return _choose("control", all_controls(), names)


def _collect(attribute: str, kind: str) -> tuple[Any, ...]:
    package = import_module(__name__.rpartition(".")[0])
    found: list[Any] = []
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda item: item.name):
        found.extend(getattr(import_module(f"{package.__name__}.{module.name}"), attribute, ()))
    names = [item.name for item in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{kind} {name} is defined twice; names must differ")
    return tuple(found)


def _choose(kind: str, known: tuple[Any, ...], names: Iterable[str]) -> tuple[Any, ...]:
    by_name = {item.name: item for item in known}
    chosen = tuple(names)
    for name in chosen:
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"give one of {', '.join(by_name)}"
            raise InputError(f"{kind} {name!r} is unknown; {hint}")
    return tuple(by_name[name] for name in chosen)
