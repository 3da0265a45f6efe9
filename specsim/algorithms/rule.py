"""Verification rules: the facts of each, and the catalogue of all.

A rule decides what becomes of drafted tokens. Its facts are a `Rule` in a file of its name in
`specsim.algorithms.rules`; its texts are in files of the same name elsewhere: the published steps in
`specsim.theory.programs`, the closed form in `specsim.theory.step_laws`, the compiled kernel in
`specsim.engines.literal.kernels`, the form for real models in `specsim.models.rules`.
"""

from __future__ import annotations

import difflib
import math
import os
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

import specsim
from specsim.errors import InputError, UnsupportedError
from specsim.support.checks import whole
from specsim.support.showing import aligned, as_html

if TYPE_CHECKING:
    from specsim.algorithms.descriptors import Verification
    from specsim.algorithms.structures import Structure

#: How the children of a node are drawn from the draft row: each on its own; one after the other without those
#: drawn before, renormalised; the likeliest ones (ties: the lower token first); or by the rule itself.
Drawing = Literal["independent", "distinct", "greedy", "own"]
#: The texts that a rule may have.
Text = Literal["program", "step_law", "kernel", "torch_rule", "claims"]

#: The package of each text; its file there has the rule's name with underscores.
TEXTS: dict[Text, str] = {
    "program": "theory/programs",
    "step_law": "theory/step_laws",
    "kernel": "engines/literal/kernels",
    "torch_rule": "models/rules",
    "claims": "validation/claims",
}

REQUIRED = object()

#: Other names of the draft length that people know from papers and engines.
SYNONYMS = dict.fromkeys(
    (
        "gamma",
        "k",
        "K",
        "lookahead",
        "num_speculative_tokens",
        "num_assistant_tokens",
    ),
    "draft_length",
)


#: Largest number that a parameter may be: the float 1e300, which is above 10^300.
LARGEST = int(1e300)


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
        ``"number"`` (a float or a Fraction of at least 0), ``"whole"`` (a whole number of at least 1),
        ``"choice"`` (one of `choices`) or ``"table"`` (rows for each step and context, available in Python
        only).
    choices
        For a choice.
    most
        For a number: the largest value.
    examples
        For a number: values worth trying, on which the claims check the rule.
    law
        For a table: whether each row is a law, which sums to 1 (floats: within 1e-9); otherwise its entries
        are probabilities.
    """

    meaning: str
    default: Any = REQUIRED
    kind: Literal["number", "whole", "choice", "table"] = "number"
    choices: tuple[str, ...] = ()
    most: float = LARGEST
    examples: tuple[Any, ...] = (0.125, Fraction(1, 10), 0.0, 1.0)
    law: bool = False

    def check(self, name: str, value: Any) -> Any:
        """Return the value as it is used: NumPy's numbers as Python's, tables as read-only arrays.

        InputError: the value is not of the parameter's kind.
        """
        if self.kind == "choice":
            if not isinstance(value, str) or value not in self.choices:
                raise InputError(f"{name} is {value!r}; give {' or '.join(map(repr, self.choices))}")
            return value
        if self.kind == "table":
            return _table(name, value, law=self.law)
        if self.kind == "whole":
            return whole(name, value, 1)
        if isinstance(value, bool) or not isinstance(value, int | float | Fraction | np.number):
            raise InputError(f"{name} is {value!r}; give a number, at least 0")
        value = value.item() if isinstance(value, np.number) else value
        if isinstance(value, int | Fraction) and value > LARGEST:
            raise InputError(f"{name} is above {float(LARGEST):g}; give a smaller number")
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"{name} is {value}; give a finite number, at least 0")
        if value > self.most:
            raise InputError(f"{name} is {value}; give a number from 0 to {self.most:g}")
        return value


@dataclass(frozen=True, kw_only=True, repr=False)
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
    aliases
        Other names that people know it by.
    absent
        Why a text does not exist, by the name of the text.
    inexact
        Why there is no exact mode (`fractions.Fraction`); empty for a rational rule.
    own
        The kernel of a user's rule, which serves as its only text; None for the catalogue's rules. See
        `specsim.own_rules`.
    own_prepare
        For a user's rule: what its kernel reads as ``step.param``; see `specsim.own_rules.rule`.
    own_text
        For a user's rule: its text for theory, with ``program`` as in `specsim.theory.programs` and ``law``
        as in `specsim.theory.step_laws`.
    own_law
        For a user's rule: its step law, where the user gave one.

    Examples
    --------
    >>> from specsim import get_rule
    >>> k_seq = get_rule("k-seq")
    >>> k_seq.lossless, k_seq(drafts=2, draft_length=1).label
    (True, 'k-seq:drafts=2,draft_length=1,bonus=yes')
    """

    name: str
    title: str
    source: str
    lossless: bool
    structures: tuple[Literal["chain", "paths", "tree"], ...]
    drawings: tuple[Drawing, ...]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    absent: Mapping[Text, str] = field(default_factory=dict)
    inexact: str = ""
    own: Callable[..., Any] | None = None
    own_prepare: Callable[..., Any] | None = None
    own_text: Any = None
    own_law: Callable[..., Any] | None = None

    @property
    def module(self) -> str:
        """Name of the files of its texts, without the ending."""
        return self.name.replace("-", "_")

    @property
    def texts(self) -> tuple[Text, ...]:
        """The texts that exist, found by the names of their files."""
        # Not by imports: a list of rules loads neither Numba nor torch.
        return tuple(
            text
            for text, folder in TEXTS.items()
            if any(os.path.exists(f"{base}/{folder}/{self.module}.py") for base in specsim.__path__)
        )

    def text(self, name: Text) -> ModuleType:
        """Import and return the module of a text.

        Raises
        ------
        UnsupportedError
            The rule has no such text; the message says why.
        """
        if name not in self.texts:
            reason = self.absent.get(name, "not written yet")
            remedy = "; ask specsim.theory, it is not simulated" if name == "kernel" else ""
            raise UnsupportedError(f"rule {self.name} has no {name.replace('_', ' ')}: {reason}{remedy}")
        return import_module(f"specsim.{TEXTS[name].replace('/', '.')}.{self.module}")

    @property
    def identity(self) -> str:
        """What names the rule in stored results."""
        return self.name

    def check_parameters(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of all parameters as `Parameter.check` does."""
        checked = {name: entry.check(name, values[name]) for name, entry in self.parameters.items()}
        shapes = {name: value.shape for name, value in checked.items() if isinstance(value, np.ndarray)}
        if len({shape[1:] for shape in shapes.values()}) > 1:
            words = " and ".join(f"{name} has shape {shape}" for name, shape in shapes.items())
            raise InputError(f"{words}; contexts and tokens must agree")
        return checked

    def __call__(
        self,
        *,
        draft_length: int | None = None,
        drafts: int | None = None,
        tree: Sequence[int] | Structure | None = None,
        bonus: bool = True,
        drawn: Drawing | None = None,
        **parameters: Any,
    ) -> Verification:
        """Return the decoding algorithm with this rule; see `Verification` for the options.

        Examples
        --------
        >>> get_rule("block")(draft_length=4).label
        'block:draft_length=4,bonus=yes'
        """
        from specsim.algorithms.descriptors import Verification

        for name in [name for name in parameters if name in SYNONYMS and name not in self.parameters]:
            if draft_length is not None:
                raise InputError(f"draft_length and {name} are both given; they mean the same, give only one")
            draft_length = parameters.pop(name)
        return Verification(
            rule=self, draft_length=draft_length, drafts=drafts, tree=tree, bonus=bonus, drawn=drawn,
            parameters=parameters,
        )  # fmt: skip

    def __hash__(self) -> int:
        return hash(self.name)

    def described(self) -> dict[str, str]:
        """Return the facts in words, by heading, without empty ones."""
        from specsim.grammar import ALGORITHMS

        facts = {
            "source": self.source,
            "other names": ", ".join(self.aliases),
            "spelling": ALGORITHMS[self.name].usage(self.name) if self.name in ALGORITHMS else "",
            "lossless": "yes" if self.lossless else "no",
            "structures": ", ".join(self.structures),
            "drafts drawn": ", ".join(self.drawings),
            "exact mode": f"no: {self.inexact}" if self.inexact else "yes",
        }
        for name, entry in self.parameters.items():
            choices = f" One of {', '.join(entry.choices)}." if entry.choices else ""
            facts[f"parameter {name}"] = entry.meaning + choices
        if self.own is None:
            for text, folder in TEXTS.items():
                reason = self.absent.get(text, "not written yet")
                found = f"{folder}/{self.module}.py" if text in self.texts else f"none: {reason}"
                facts[text.replace("_", " ")] = found
        return {heading: words for heading, words in facts.items() if words}

    def __repr__(self) -> str:
        return f"<Rule {self.name!r}: {'lossless' if self.lossless else 'lossy'}, {self.source}>"

    def __str__(self) -> str:
        return "\n".join([f"{self.name}: {self.title}", "", *aligned(list(self.described().items()))])

    def _repr_html_(self) -> str:
        return as_html(f"{self.name}: {self.title}", self.described())


@cache
def catalogue() -> dict[str, Rule]:
    """Return all rules by name: ``RULE`` of each module of `specsim.algorithms.rules`, in order of name.

    Examples
    --------
    >>> from specsim import catalogue
    >>> "block" in catalogue()
    True
    """
    package = import_module("specsim.algorithms.rules")
    found = {}
    for module in sorted(item.name for item in pkgutil.iter_modules(package.__path__)):
        rule: Rule = import_module(f"{package.__name__}.{module}").RULE
        if rule.module != module:
            raise InputError(f"rule {rule.name} stands in {module}.py; its file must be {rule.module}.py")
        found[rule.name] = rule
    return found


@cache
def aliases() -> dict[str, str]:
    """Return the name of the rule for each alias."""
    found: dict[str, str] = {}
    for rule in catalogue().values():
        for alias in rule.aliases:
            if alias in found or alias in catalogue():
                raise InputError(f"rule {rule.name} has the alias {alias}, which is taken; choose another")
            found[alias] = rule.name
    return found


def get_rule(name: str) -> Rule:
    """Return the rule of this name or alias.

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
    name = aliases().get(name, name) if isinstance(name, str) else name
    if not isinstance(name, str) or name not in rules:
        close = difflib.get_close_matches(str(name), [*rules, *aliases()], n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        listed = "'specsim rules' lists all" if close else f"known: {', '.join(rules)}"
        raise InputError(f"unknown rule {name!r}; {hint}{listed}")
    return rules[name]


def _table(field: str, values: ArrayLike, *, law: bool) -> NDArray[Any]:
    array = np.array(values, dtype=object)
    for index, value in np.ndenumerate(array):
        if not isinstance(value, int | float | Fraction | np.integer | np.floating):
            raise InputError(f"{field}{list(index)} is {value!r}; give floats or Fractions")
    exact = any(isinstance(value, Fraction) for value in array.flat)
    if exact:
        for index, value in np.ndenumerate(array):
            if isinstance(value, float) and not math.isfinite(value):
                raise InputError(f"{field}{list(index)} is {value}; probabilities must be finite")
            array[index] = Fraction(value.item() if isinstance(value, np.generic) else value)
    else:
        try:
            array = np.array(values, dtype=np.float64)
        except OverflowError:
            raise InputError(f"{field} has an entry above 1; give probabilities") from None
        if not np.isfinite(array).all():
            raise InputError(f"{field} has an entry that is not finite; give probabilities")
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.size == 0:
        raise InputError(f"{field} has shape {array.shape}; give (steps, contexts, tokens)")
    if any(value < 0 for value in array.flat):
        raise InputError(f"{field} has a negative entry; give probabilities")
    if law:
        for index in np.ndindex(array.shape[:2]):
            total = sum(array[index])
            if (total != 1) if exact else (abs(total - 1) > 1e-9):
                raise InputError(f"{field}{list(index)} sums to {total}; divide the row by its sum")
    elif any(value > 1 for value in array.flat):
        raise InputError(f"{field} has an entry above 1; give probabilities")
    array.flags.writeable = False
    return array
