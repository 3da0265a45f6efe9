"""What a mutant is, and the list of them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from specsim.validation.named import choose, collect
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
        Ids of claims that have to reject it, in addition to those that name it in ``Claim.mutants``.

    Examples
    --------
    >>> from specsim.validation import Mutant, as_built
    >>> wrong = Mutant(
    ...     name="no-rejections", description="Theorem 1 gives 0.", cite="made up",
    ...     apply=lambda right: right.replace_theory(theorem_1_rejections=lambda pair, **options: 0),
    ... )
    >>> wrong.apply(as_built()).theory.theorem_1_rejections(None)
    0
    """

    name: str
    description: str
    cite: str
    apply: Callable[[Witnesses], Witnesses]
    kills: tuple[str, ...] = ()


#: Takes correct witnesses, returns wrong ones.
Mutation = Callable[[Witnesses], Witnesses]


def mutant(
    mutation: Callable[[Callable[..., Any]], Mutation], *, cite: str, kills: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Mutant]:
    """Return a decorator that makes a mutant of a wrong function: its name and docstring are the mutant's.

    Parameters
    ----------
    mutation
        Takes the function, returns what puts it among the witnesses.
    cite, kills
        As in `Mutant`.
    """

    def make(function: Callable[..., Any]) -> Mutant:
        return Mutant(
            name=function.__name__.replace("_", "-"),
            description=function.__doc__ or "",
            cite=cite,
            apply=mutation(function),
            kills=kills,
        )

    return make


def defined(names: Mapping[str, Any]) -> tuple[Mutant, ...]:
    """Return the mutants among the global names of a module, in order."""
    return tuple(value for value in names.values() if isinstance(value, Mutant))


@cache
def all_mutants() -> tuple[Mutant, ...]:
    """Return every mutant: ``MUTANTS`` of each module of this package and of the claims, by module name."""
    return collect("specsim.validation.mutants", "MUTANTS", "mutant") + collect(
        "specsim.validation.claims", "MUTANTS", "mutant"
    )


def get_mutants(names: Iterable[str]) -> tuple[Mutant, ...]:
    """Return the mutants of these names; `InputError` where one does not exist."""
    return choose("mutant", all_mutants(), names)
