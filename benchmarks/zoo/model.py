"""What a wrong sampler and an unusual right one are, and the lists of them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from specsim.support.hashes import source_digest
from specsim.validation.conformance.rules.base import Rule
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject
from specsim.validation.named import choose, collect
from specsim.validation.running.store import source_hash


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


def mutant_of(
    run: Callable[..., Any],
    bug_class: str,
    cite: str,
    killed_by: tuple[str, ...],
    *,
    name: str | None = None,
    description: str | None = None,
    law: Rule | None = None,
    **fields: Any,
) -> Mutant:
    """Return the mutant that a function is.

    Parameters
    ----------
    run
        The function; a step of the ratio rule, unless `fields` say something else.
    bug_class, cite, killed_by, law
        As in `Mutant`.
    name, description
        Default to None: the name is the function's, the description its docstring.
    fields
        More fields of `Subject`.
    """
    name = name or run.__name__.replace("_", "-")
    subject = Subject(**{"name": name, "run": run, "protocol": "step", "rule": RATIO, **fields})
    return Mutant(
        name=name,
        description=description or (run.__doc__ or "").rstrip("."),
        cite=cite,
        bug_class=bug_class,
        subject=subject,
        law=law,
        killed_by=killed_by,
    )


def mutant_of_law(run: Callable[..., Any], law: Rule, killed_by: tuple[str, ...], **fields: Any) -> Mutant:
    """Return the mutant that follows a wrong law, from which it has its name, description and source.

    Parameters
    ----------
    run, killed_by, fields
        As in `mutant_of`.
    law
        The exact law of a known bug.
    """
    named = {"name": law.name, "description": law.title, **fields}
    return mutant_of(run, law.bug_class, law.source, killed_by, law=law, **named)


@cache
def code_digest() -> str:
    """Return a hash of the code on which results of these samplers depend."""
    return f"{source_hash()[:20]} {source_digest(Path(__file__).parent)[:20]}"


@cache
def all_mutants() -> tuple[Mutant, ...]:
    """Return every mutant: ``MUTANTS`` of each module of this package, by module name."""
    return collect(__package__ or "", "MUTANTS", "mutant")


@cache
def all_controls() -> tuple[Control, ...]:
    """Return every control: ``CONTROLS`` of each module of this package, by module name."""
    return collect(__package__ or "", "CONTROLS", "control")


def get_mutants(names: Iterable[str]) -> tuple[Mutant, ...]:
    """Return the mutants of these names; `InputError` where one does not exist."""
    return choose("mutant", all_mutants(), names)


def get_controls(names: Iterable[str]) -> tuple[Control, ...]:
    """Return the controls of these names; `InputError` where one does not exist."""
    return choose("control", all_controls(), names)
