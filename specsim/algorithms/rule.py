"""Verification rules: the facts of each, and the catalogue of all.

A rule decides what becomes of drafted tokens. Its facts are a `Rule` in a file of its name in
`specsim.algorithms.rules`; its texts are in files of the same name elsewhere: the published steps in
`specsim.theory.programs`, the closed form in `specsim.theory.step_laws`, the compiled kernel in
`specsim.engines.literal.kernels`, the form for real models in `specsim.models.rules`.
"""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from specsim.errors import InputError

if TYPE_CHECKING:
    from specsim.algorithms.descriptors import Verification

#: How the children of a node are drawn from the draft row: each on its own; one after the other without those
#: drawn before, renormalised; the likeliest ones (ties: the lower token first); or by the rule itself.
Drawing = Literal["independent", "distinct", "greedy", "own"]
#: The texts that a rule may have.
Text = Literal["program", "step_law", "kernel", "torch_rule", "claims"]

REQUIRED = object()


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """An option of a rule.

    Attributes
    ----------
    meaning
        One sentence.
    default
        Its value when it is not given; `REQUIRED` when it must be.
    kind
        ``"number"`` (a float or a Fraction of at least 0), ``"choice"`` (one of `choices`) or ``"table"``
        (rows for each step and context, available in Python only).
    choices
        For a choice.
    """

    meaning: str
    default: Any = REQUIRED
    kind: Literal["number", "choice", "table"] = "number"
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The facts of a verification rule.

    Attributes
    ----------
    name
        Lower case with hyphens; the keyword of the grammar. The files of its texts have this name with
        underscores.
    title
        What it does, in a few words.
    source
        arXiv id with algorithm or section, or where it was seen.
    lossless
        Whether the output has the target's law for every value of the parameters, when drafts are drawn in
        one of the ways of `drawings`.
    structures
        The kinds of draft structures that it verifies.
    drawings
        The ways of drawing drafts that it is made for, the usual one first.
    parameters
        Its options by name.
    absent
        Why a text does not exist, by the name of the text.
    inexact
        Why there is no exact mode (`fractions.Fraction`); empty for a rational rule.
    own
        The function of a user's rule, which serves as its only text; None for the catalogue's rules.
    """

    name: str
    title: str
    source: str
    lossless: bool
    structures: tuple[Literal["chain", "paths", "tree"], ...]
    drawings: tuple[Drawing, ...]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    absent: Mapping[Text, str] = field(default_factory=dict)
    inexact: str = ""
    own: Callable[..., Any] | None = None

    @property
    def module(self) -> str:
        """Name of the files of its texts, without the ending."""
        return self.name.replace("-", "_")

    def __call__(self, **options: Any) -> Verification:
        """Return the decoding algorithm with this rule; options are those of `Verification`, and parameters.

        Examples
        --------
        >>> get_rule("block")(draft_length=4).label
        'block:draft_length=4,bonus=yes'
        """
        from specsim.algorithms.descriptors import Verification

        parameters = {name: options.pop(name) for name in self.parameters if name in options}
        return Verification(rule=self, parameters=parameters, **options)

    def __hash__(self) -> int:
        return hash(self.name)


@cache
def catalogue() -> dict[str, Rule]:
    """Return all rules by name: ``RULE`` of each module of `specsim.algorithms.rules`, in order of name."""
    package = import_module("specsim.algorithms.rules")
    found = {}
    for module in sorted(item.name for item in pkgutil.iter_modules(package.__path__)):
        rule: Rule = import_module(f"{package.__name__}.{module}").RULE
        if rule.module != module:
            raise InputError(f"rule {rule.name} stands in {module}.py; its file must be {rule.module}.py")
        found[rule.name] = rule
    return found


def get_rule(name: str) -> Rule:
    """Return the rule of this name.

    Raises
    ------
    InputError
        There is none.

    Examples
    --------
    >>> get_rule("k-seq").lossless
    True
    """
    rules = catalogue()
    if name not in rules:
        close = difflib.get_close_matches(str(name), rules, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise InputError(f"unknown rule {name!r}; {hint}known: {', '.join(rules)}")
    return rules[name]
