"""A researcher's own verification rule: one function gives bias, laws, simulation and comparison."""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from specsim.algorithms import Parameter, Rule, Structure, catalogue
from specsim.algorithms.rule import Drawing
from specsim.algorithms.rule_files import read_rule
from specsim.errors import InputError
from specsim.pairs import ModelPair

if TYPE_CHECKING:
    from specsim.theory.laws.laws import Laws
    from specsim.validation.kernel_text.bias import Bias

Kind = Literal["chain", "paths", "tree"]

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_DRAWINGS: tuple[Drawing, ...] = ("independent", "distinct", "greedy")
_KINDS: tuple[Kind, ...] = ("chain", "paths", "tree")


#: Libraries whose versions are known elsewhere.
_KNOWN = {"specsim", "numpy", "numba", *sys.stdlib_module_names}


def _parts(value: Any, seen: set[int]) -> Iterator[bytes]:
    """Yield what decides the meaning of a value that a rule names."""
    # Numba's compiled functions keep the Python function.
    value = vars(value).get("py_func", value) if hasattr(value, "__dict__") else value
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, ModuleType):
        file = Path(value.__file__ or "") if value.__name__.split(".")[0] not in _KNOWN else Path()
        if file.is_file():
            yield file.read_bytes()
    elif inspect.isfunction(value):
        if value.__module__.split(".")[0] in _KNOWN:
            return
        try:
            yield inspect.getsource(value).encode()
        except OSError:
            yield value.__code__.co_code
        scope = inspect.getclosurevars(value)
        for name, used in sorted({**scope.globals, **scope.nonlocals}.items()):
            yield name.encode()
            yield from _parts(used, seen)
    elif isinstance(value, int | float | str | tuple | list | Fraction):
        yield repr(value).encode()
    elif isinstance(value, np.ndarray):
        yield value.tobytes()


class _Text:
    """The text of a user's rule for theory, read when it is first used."""

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        from specsim.validation.kernel_text import KernelText

        text = KernelText(*self._arguments)
        self.program, self.law = text.program, text.law
        return getattr(text, name)


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnRule(Rule):
    """A rule made by `rule`; calling it with a draft structure gives a decoding algorithm."""

    @cached_property
    def identity(self) -> str:
        """What names the rule in stored results and compiled code: its name and a digest of its text.

        The text is that of the function and of all of the user's that it names: functions, numbers, modules.
        """
        digest = hashlib.sha256()
        for part in _parts(self.own, set()):
            digest.update(part)
        return f"{self.name} {digest.hexdigest()}"

    def __reduce__(self) -> Any:
        """Travel to other processes as the file in which the rule is made."""
        assert self.own is not None
        return read_rule, (inspect.getsourcefile(self.own), self.name)

    def bias(
        self,
        structure: Structure,
        *,
        tokens: int = 3,
        instances: int = 3,
        seed: int = 0,
        pair: ModelPair | None = None,
        drawn: Drawing | None = None,
        **parameters: Any,
    ) -> Fraction:
        """Return how far the law of one round is from the target's, exactly, from the rule's own text.

        Parameters
        ----------
        structure
            What is drafted, such as ``chain(2)``; the rounds that a horizon cuts shorter are looked at too.
        tokens, instances, seed
            Size of the vocabulary, number and seed of random instances, whose rows are twelfths.
        pair
            Take the rows of this pair instead, from each context in which a run may begin.
        drawn
            How drafts are drawn. Defaults to None, the rule's usual way.
        parameters
            Parameters of the rule.

        Returns
        -------
        Fraction
            The largest difference of the probabilities of a sequence of ``structure.depth + 1`` tokens; 0
            proves that the rule is lossless on these instances.

        Raises
        ------
        InputError
            The text cannot be enumerated, fails, or returns what is not a node or a token.
        TooLargeError
            There are too many drafts.

        Examples
        --------
        >>> import specsim
        >>> @specsim.rule("accept-all", source="example", lossless=False)
        ... def accept_all(step, nodes):
        ...     "Accept every token."
        ...     return nodes - 1, -1
        >>> accept_all.bias(specsim.chain(1))
        Fraction(5, 12)
        """
        return self.worst(
            structure, tokens=tokens, instances=instances, seed=seed, pair=pair, drawn=drawn, **parameters
        ).value

    def worst(
        self,
        structure: Structure,
        *,
        tokens: int = 3,
        instances: int = 3,
        seed: int = 0,
        pair: ModelPair | None = None,
        drawn: Drawing | None = None,
        **parameters: Any,
    ) -> Bias:
        """Return the worst case that `bias` has seen: the rows, the sequence, and both probabilities.

        Parameters and errors are those of `bias`.

        Examples
        --------
        >>> import specsim
        >>> @specsim.rule("accept-all", source="example", lossless=False)
        ... def accept_all(step, nodes):
        ...     "Accept every token."
        ...     return nodes - 1, -1
        >>> worst = accept_all.worst(specsim.chain(1))
        >>> worst.sequence, worst.found, worst.wanted
        ((0,), Fraction(7, 12), Fraction(1, 6))
        """
        from specsim.validation.kernel_text.bias import random_twelfths, worst_bias

        algorithm = self(tree=structure, drawn=drawn, **parameters)
        if instances < 1:
            raise InputError(f"instances is {instances}; give a whole number of at least 1")
        pairs = [pair] if pair is not None else random_twelfths(tokens, structure.depth, instances, seed)
        return worst_bias(pairs, algorithm)

    def laws(
        self,
        pair: ModelPair,
        structure: Structure,
        *,
        bonus: bool = True,
        horizon: int | None = None,
        exact: bool = False,
        drawn: Drawing | None = None,
        **parameters: Any,
    ) -> Laws:
        """Return all laws of decoding with this rule, computed from its own text.

        Parameters
        ----------
        pair
            The models.
        structure
            What is drafted in each round.
        bonus, drawn
            As in `specsim.algorithms.Verification`.
        horizon
            Tokens to emit. Defaults to None, the pair's own.
        exact
            Whether numbers are `fractions.Fraction`. Defaults to False.
        parameters
            Parameters of the rule.

        Examples
        --------
        >>> import specsim
        >>> @specsim.rule("accept-all", source="example", lossless=False)
        ... def accept_all(step, nodes):
        ...     "Accept every token."
        ...     return nodes - 1, -1
        >>> pair = specsim.random_pair(contexts=2, horizon=6, family="uniform", seed=1)
        >>> accept_all.laws(pair, specsim.chain(2), exact=True).expected_target_calls()
        Fraction(2, 1)
        """
        from specsim.theory import Laws

        algorithm = self(tree=structure, bonus=bonus, drawn=drawn, **parameters)
        return Laws(pair, algorithm, horizon=horizon, exact=exact)


def _numbers(target: Any, draft: Any, structure: Structure, **parameters: Any) -> Any:
    """Return the parameters for each row, exact where rows are exact."""
    return np.full((len(target), len(parameters)), list(parameters.values()), dtype=target.dtype)


def rule(
    name: str,
    *,
    source: str,
    lossless: bool,
    drafts: Drawing | Sequence[Drawing] = "independent",
    structures: Sequence[Kind] = ("chain",),
    title: str = "",
    parameters: Mapping[str, Parameter] | None = None,
    prepare: Callable[..., Any] | None = None,
    law: Callable[..., Any] | None = None,
) -> Callable[[Callable[[Any, Any], Any]], OwnRule]:
    """Make a verification rule of a function ``verify(step, nodes) -> (stop node, final token or -1)``.

    See docs/own-rule.md for what `step` holds and how such a function is written.

    Parameters
    ----------
    name
        Lower case, words joined by hyphens; none of the catalogue's.
    source
        Where it comes from, such as ``"mine"`` or an arXiv id.
    lossless
        Whether the output is meant to have the target's law; `check_rule` holds the rule to it.
    drafts
        How the children of a node are drawn: ``"independent"``, ``"distinct"`` (without those before) or
        ``"greedy"`` (the likeliest), or several of these, the usual one first.
    structures
        What it verifies, of ``"chain"``, ``"paths"`` and ``"tree"``. Defaults to chains.
    title
        A few words. Defaults to the first line of the function's docstring.
    parameters
        Options of the rule by name.
    prepare
        ``prepare(target (R, V), draft (R, V), structure, **parameters) -> (R, P)``: numbers of each row that
        the function reads as ``step.param[row]``. Defaults to None: the parameters themselves, in their
        order.
    law
        Its step law in closed form, as in `specsim.theory.step_laws`: theory then uses it instead of the
        text, and `check_rule` compares the two. Defaults to None: from the text.

    Returns
    -------
    decorator
        Turns the function into an `OwnRule`.

    Raises
    ------
    InputError
        A name that is taken or badly spelled, an unknown structure or way of drawing, a function of another
        shape.

    Examples
    --------
    >>> import specsim
    >>> @specsim.rule("first-guess", source="example", lossless=False)
    ... def first_guess(step, nodes):
    ...     "Accept every token."
    ...     return nodes - 1, -1
    >>> first_guess(draft_length=2).label
    'first-guess:draft_length=2,bonus=yes'
    """
    drawings = (drafts,) if isinstance(drafts, str) else tuple(drafts)
    options = dict(parameters or {})
    if prepare is None and options:
        prepare = _numbers
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(f"name is {name!r}; use lower-case words joined by hyphens")
    if name in catalogue():
        raise InputError(f"name is {name!r}, a rule of the catalogue; choose another")
    if not isinstance(lossless, bool):
        raise InputError(f"lossless is {lossless!r}; give True or False")
    for field, values, known in (("drafts", drawings, _DRAWINGS), ("structures", structures, _KINDS)):
        for value in values or ("",):
            if value not in known:
                raise InputError(f"{field} has {value!r}; give some of {', '.join(known)}")
    for option, entry in options.items():
        if prepare is _numbers and entry.kind != "number":
            raise InputError(
                f"parameter {option} is a {entry.kind}; give prepare=, which turns it into numbers"
            )

    def make(function: Callable[[Any, Any], Any]) -> OwnRule:
        if not inspect.isfunction(function) or len(inspect.signature(function).parameters) != 2:
            raise InputError(f"rule {name} is {function!r}; give a function of step and nodes")
        lines = (inspect.getdoc(function) or name).splitlines()
        return OwnRule(
            name=name,
            title=title or lines[0],
            source=source,
            lossless=lossless,
            structures=tuple(structures),
            drawings=drawings,
            parameters=options,
            absent={"torch_rule": "a rule of one's own works on tables of probabilities"},
            own=function,
            own_prepare=prepare,
            own_law=law,
            own_text=_Text(function, name, prepare),
        )

    return make
