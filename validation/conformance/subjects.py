"""What can be tested: the four protocols, and what a subject says about itself."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from specsim.errors import InputError
from specsim.support.checks import whole
from specsim.validation.conformance.rules.base import Rule
from specsim.validation.conformance.surroundings import described, imported

#: The protocols, with the parameters that the callable takes besides the options.
PROTOCOLS = {
    "step": ("target", "draft", "drafted", "seed"),
    "draft-and-verify": ("models", "seed"),
    "decoder": ("models", "prompts", "new_tokens", "seed"),
    "tree": ("parents", "target", "draft", "tokens", "seed"),
}

#: Keyword arguments that a subject may declare, and what each is; it is given those and no others.
OPTIONS = {
    "draft_lengths": "drafted tokens of each row, shape (batch,): a ragged batch. Behind the drafts of a row"
    " stand tokens of -1 and rows that are uniform",
    "coins": "the uniforms of the acceptance tests, shape (batch, draft_length + 1)",
    "noise": "the uniforms in [0, 1) that replacements and bonus tokens are drawn by, shape (batch,"
    " draft_length + 1, vocabulary): a race uses one per token, an inverse distribution function the first",
    "words": "the same as random 32-bit integers, of which the sampler makes its uniforms",
    "temperature": "divides logits; 0 is greedy",
    "top_k": "the likeliest tokens that are kept",
    "top_p": "the mass of the likeliest tokens that are kept",
    "min_p": "the least probability that is kept, as a share of the likeliest token's",
    "typical_p": "the mass of the tokens of typical surprise that are kept",
    "temperatures": "a temperature for each row, shape (batch,); rows of 0 are greedy",
    "seeds": "a seed for each row, shape (batch,), which alone makes its tokens random",
    "samples": "texts to write for each prompt, which are returned one after the other",
    "eos": "the token that ends a text",
    "stop": "sequences of tokens that end a text, in a tuple",
    "d2t": "the target's id of each of the draft's tokens; draft rows are as narrow as this",
}

#: Element types of rows that can be asked of a subject.
DTYPES = ("float64", "float32", "float16", "bfloat16")

_CHOICES = {
    "inputs": ("probabilities", "logits"),
    "framework": ("numpy", "torch"),
    "draft": ("required", "optional", "never"),
    "drawing": ("with", "without", "greedy"),
    "filters": ("both", "target"),
}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A sampler under test: a callable of one of the protocols, and what it declares.

    Attributes
    ----------
    name
        For reports.
    protocol
        ``"step"``: ``run(target, draft, drafted, seed)`` verifies given drafts; rows of shapes
        ``(batch, draft_length + 1, vocabulary)`` and ``(batch, draft_length, vocabulary)`` (or None), drafted
        tokens ``(batch, draft_length)``; returns tokens ``(batch, draft_length + 1)`` and lengths
        ``(batch,)``. ``"draft-and-verify"``: ``run(models, seed)`` draws its own drafts, see `Models`;
        returns drafted tokens, tokens and lengths. Drafted tokens ``(batch, draft_length)`` are -1 after the
        drafts of a row that drafted fewer; None says that it does not report them. Instead there are
        ``parents`` and ``nodes``, each ``(batch, nodes)`` with the root first, when it builds trees itself;
        tokens have shape ``(batch, draft_length + 1)`` even if the tree has fewer levels.
        ``"decoder"``: ``run(models, prompts, new_tokens, seed)``
        writes whole texts, see `DecoderModels`; returns tokens ``(batch, new_tokens)``, or these and, for
        every row, the list of accepted lengths. After the end of a text stands -1.
        ``"tree"``: ``run(parents, target, draft, tokens, seed)``
        verifies a tree of drafts. All trees of a call have the same parents ``(nodes,)``; node 0 is the root,
        of parent -1 and token -1, and parents come before their children. Rows have shape ``(batch, nodes,
        vocabulary)``: those after each node, of which its children are drawn. Tokens are ``(batch, nodes)``.
        Returns tokens ``(batch, depth + 1)`` and lengths: accepted tokens of a path and one token more.
        What is returned may have one element more, a dictionary of what the sampler reports of itself, see
        `specsim.validation.conformance.calling.REPORTED`.
    run
        The callable. The same seed must give the same output.
    rule
        The rule that it claims to follow: conditional laws are then tested too, and named in reports.
        Defaults to None: it is judged by its output law alone.
    inputs
        Whether rows are ``"probabilities"`` or ``"logits"``.
    framework, device
        ``"numpy"`` or ``"torch"``, and torch's device.
    dtypes
        Element types of rows that it takes; most checks use the first.
    options
        Which of `OPTIONS` it takes. Filters are to be applied in the order ``temperature``, ``top_k``,
        ``top_p``, ``min_p``, ``typical_p``, see `filters`.
    process
        What it does to rows by the text so far, before the filters: penalties, a grammar, a bias.
        ``process(tokens, rows)`` gets the tokens before the row, ``(n, length)`` (of a step the drafted ones,
        of a decoder prompt and text), and probabilities ``(n, vocabulary)``, NumPy arrays, and returns
        weights >= 0. The subject gets rows that are not processed. Defaults to None: nothing.
    max_batch, max_vocabulary, max_draft_length
        The most rows of a call, tokens of a vocabulary, and drafted tokens that it can take. Default to None
        (no limit).
    draft
        Whether draft rows are ``"required"``, ``"optional"`` or ``"never"`` given (always None).
    drawing
        Trees: how the children of a node are drawn: ``"with"`` replacement, ``"without"`` (the row less those
        before, renormalised), or ``"greedy"`` (the likeliest tokens, and the last child from the rest).
    filters
        Whether top-k, top-p and their like, and `process`, are for ``"both"`` sides, or for the ``"target"``
        alone: the drafts then come from the whole draft row, and the ratio is taken with it. The temperature
        is for both.
    notes
        What a reader of the report should know.
    numpy_errors
        NumPy's error settings in its calls, as keyword arguments of `numpy.errstate`. Defaults to None: those
        of whoever tests it. `load_subjects` sets it to what the import asked for.

    Examples
    --------
    >>> from specsim.testing import Subject
    >>> Subject(name="mine", protocol="step", run=lambda target, draft, drafted, seed: None).draft
    'required'
    """

    name: str
    protocol: str
    run: Callable[..., Any]
    rule: Rule | None = None
    inputs: str = "probabilities"
    framework: str = "numpy"
    device: str = "cpu"
    dtypes: tuple[str, ...] = ("float64", "float32")
    options: frozenset[str] = frozenset()
    process: Callable[[Any, Any], Any] | None = None
    max_batch: int | None = None
    max_vocabulary: int | None = None
    max_draft_length: int | None = None
    draft: str = "required"
    drawing: str = "with"
    filters: str = "both"
    notes: str = ""
    numpy_errors: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.protocol not in PROTOCOLS:
            raise InputError(f"protocol is {self.protocol!r}; give one of {', '.join(PROTOCOLS)}")
        if not callable(self.run):
            raise InputError(f"run is {self.run!r}; give a callable")
        for field, choices in _CHOICES.items():
            value = getattr(self, field)
            if value not in choices:
                raise InputError(f"{field} is {value!r}; give one of {', '.join(choices)}")
        object.__setattr__(self, "options", frozenset(self.options))
        object.__setattr__(self, "dtypes", tuple(self.dtypes))
        for option in sorted(self.options - set(OPTIONS)):
            raise InputError(f"options has {option!r}; give some of {', '.join(OPTIONS)}")
        for dtype in self.dtypes:
            if dtype not in DTYPES:
                raise InputError(f"dtypes has {dtype!r}; give some of {', '.join(DTYPES)}")
        if not self.dtypes:
            raise InputError(f"dtypes is empty; give some of {', '.join(DTYPES)}")
        if "bfloat16" in self.dtypes and self.framework == "numpy":
            raise InputError("dtypes has 'bfloat16', which NumPy lacks; give framework='torch'")
        for field, least in (("max_batch", 1), ("max_vocabulary", 2), ("max_draft_length", 1)):
            if getattr(self, field) is not None:
                whole(field, getattr(self, field), least, otherwise=", or None")
        if self.process is not None and not callable(self.process):
            raise InputError(f"process is {self.process!r}; give a callable of (tokens, rows), or None")
        if self.process is not None and self.protocol == "tree":
            raise InputError("process is not for protocol tree; leave it out")
        if self.rule is not None and not (
            isinstance(self.rule, Rule) and self.rule.serves(tree=self.protocol == "tree")
        ):
            kind = "tree_law" if self.protocol == "tree" else "law"
            raise InputError(
                f"rule is {self.rule!r}; protocol {self.protocol} wants a specsim.testing.Rule with a {kind}"
            )

    def replace(self, **changes: Any) -> Subject:
        """Return the subject with some fields changed."""
        return dataclasses.replace(self, **changes)


def as_subject(
    thing: Any, *, protocol: str | None = None, rule: Any = None, name: str | None = None, **fields: Any
) -> Subject:
    """Make a `Subject` of a callable, or of a subject with some fields changed.

    Parameters
    ----------
    thing
        A `Subject`, or a callable. A callable may carry a subject as its attribute ``subject``.
    protocol
        Defaults to None: read off the names of the callable's parameters.
    rule
        A rule, its name (see `specsim.validation.conformance.rules.get_rule`), or None.
    name
        Defaults to None: the callable's own.
    fields
        More fields of `Subject`. Options default to those that appear among the callable's parameters.

    Raises
    ------
    InputError
        The callable fits no protocol, or a field is wrong.
    """
    from specsim.validation.conformance.rules import get_rule

    subject = thing if isinstance(thing, Subject) else getattr(thing, "subject", None)
    changes = {**fields, **{key: value for key, value in (("name", name), ("protocol", protocol)) if value}}
    if isinstance(subject, Subject):
        if rule is not None:
            changes["rule"] = get_rule(rule, tree=changes.get("protocol", subject.protocol) == "tree")
        return subject.replace(**changes) if changes else subject
    if not callable(thing):
        raise InputError(f"subject is {thing!r}; give a callable, or a specsim.testing.Subject")
    parameters = _parameters(thing)
    changes.setdefault("name", getattr(thing, "__name__", type(thing).__name__))
    if "protocol" not in changes:
        changes["protocol"] = _guess_protocol(changes["name"], parameters)
    if "options" not in changes:
        changes["options"] = frozenset(parameters) & frozenset(OPTIONS)
    changes["rule"] = None if rule is None else get_rule(rule, tree=changes["protocol"] == "tree")
    return Subject(run=thing, **changes)


def load_subjects(text: str, **fields: Any) -> tuple[Subject, ...]:
    """Import what ``module:name`` or ``path/to/file.py:name`` names.

    The name may stand for a callable, a `Subject`, a sequence of subjects, or a function named ``subjects``
    that returns one. What the import changes for the whole process is undone, see `imported`.

    Raises
    ------
    InputError
        There is no such module, file or name, or it is not a subject, or its own code raises an exception.
    """
    source, _, attribute = text.rpartition(":")
    if not source or not attribute:
        raise InputError(f"target is {text!r}; write it as module:callable or file.py:callable")
    with imported() as errors:
        module = _import(source)
        try:
            found = _named(text, module, source, attribute, fields)
        except (InputError, SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise InputError(
                f"target {text} cannot be read: {described(error)}; run it on its own"
            ) from error
    if errors:
        found = tuple(s if s.numpy_errors is not None else s.replace(numpy_errors=errors) for s in found)
    return found


def _named(
    text: str, module: Any, source: str, attribute: str, fields: Mapping[str, Any]
) -> tuple[Subject, ...]:
    thing: Any = module
    for part in attribute.split("."):
        if not hasattr(thing, part):
            public = [
                name for name in vars(module) if not name.startswith("_") and callable(getattr(module, name))
            ]
            near = difflib.get_close_matches(part, public, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(public[:10]) or 'no callable'}"
            if not near and not public and hasattr(module, "__path__"):
                hint = f"it is a package: {_as_module(f'{source}.module')}"
            raise InputError(f"target is {text!r}; {source} has no {attribute!r}; {hint}")
        thing = getattr(thing, part)
    if attribute.rsplit(".", 1)[-1] == "subjects" and callable(thing):
        thing = thing()
    if isinstance(thing, Iterable) and not isinstance(thing, str) and not callable(thing):
        found = tuple(as_subject(item, **fields) for item in thing)
        if not found:
            raise InputError(f"target is {text!r}, which holds no subject; give at least one")
        return found
    return (as_subject(thing, **fields),)


def _import(source: str) -> Any:
    if os.path.isdir(source) and (not source.isidentifier() or importlib.util.find_spec(source) is None):
        raise InputError(f"target {source} is a folder; {_as_module('package.module')}, or file.py:name")
    if source.endswith(".py"):
        if not os.path.isfile(source):
            raise InputError(f"target file {source} is missing; check the path")
        # Not the file's own name, under which a scipy.py would stand for SciPy.
        name = "_subject_" + os.path.splitext(os.path.basename(source))[0]
        specification = importlib.util.spec_from_file_location(name, source)
        assert specification is not None
        assert specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        sys.modules[name] = module
        # Files next to it can be imported, but never in place of an installed library.
        folder = os.path.dirname(os.path.abspath(source))
        if folder not in sys.path:
            sys.path.append(folder)
        try:
            specification.loader.exec_module(module)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            sys.modules.pop(name, None)
            raise InputError(
                f"target file {source} cannot be imported: {described(error)}; {_remedy(source, error)}"
            ) from error
        return module
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(source)
    except (InputError, SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise InputError(
            f"target module {source} cannot be imported: {described(error)};"
            f" give a module that 'python -c \"import {source}\"' can import"
        ) from error


def _remedy(source: str, error: BaseException) -> str:
    """Return what to do about a file that cannot be imported."""
    if not (isinstance(error, ImportError) and "no known parent package" in described(error)):
        return "run it on its own"
    # Its imports begin with a dot: the package begins at the topmost folder with an __init__.py, if any.
    folder, words = os.path.dirname(os.path.abspath(source)), [os.path.basename(source)[: -len(".py")]]
    while True:
        folder, name = os.path.split(folder)
        words.insert(0, name)
        if not os.path.isfile(os.path.join(folder, "__init__.py")):
            return f"it belongs to a package: {_as_module('.'.join(words))} in the folder {folder}"


def _as_module(module: str) -> str:
    return f"run python -m specsim conform {module}:name"


def _parameters(thing: Callable[..., Any]) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(thing).parameters)
    except (TypeError, ValueError):
        return ()


def _guess_protocol(name: str, parameters: tuple[str, ...]) -> str:
    for protocol, wanted in PROTOCOLS.items():
        if parameters[: len(wanted)] == wanted:
            return protocol
    listed = "; ".join(f"{protocol}({', '.join(wanted)})" for protocol, wanted in PROTOCOLS.items())
    raise InputError(
        f"protocol of {name}({', '.join(parameters)}) cannot be derived from its parameters;"
        f" name it (--protocol, protocol=), or name the parameters as one of {listed}"
    )
