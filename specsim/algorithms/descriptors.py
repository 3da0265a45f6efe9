"""Descriptors of decoding algorithms: what decodes, without any behaviour.

A descriptor states a verification rule (see `specsim.algorithms.rule`), the draft structure of a round and
the rule's parameters; theory, engines and models read these facts and never ask for a type or a name.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms.rule import REQUIRED, SYNONYMS, Drawing, Rule, get_rule
from specsim.algorithms.structures import Structure, chain, levels, paths
from specsim.errors import InputError
from specsim.support.checks import unknown, whole
from specsim.support.showing import as_html

D = TypeVar("D")

#: How a rejected token is replaced by `OverAcceptance`.
Residual = Literal["optimal", "target", "draft"]
#: Which of the two slips of the printed Algorithm 4 is kept by `BatchAsPrinted`.
Slip = Literal["inside-loop", "extra-subtraction"]


class Algorithm:
    """Base of all descriptors: frozen, keyword-only, without behaviour.

    ``label`` is the grammar's spelling (see `specsim.grammar`), used in reports and provenance.
    """

    keyword: ClassVar[str] = ""

    if TYPE_CHECKING:

        @property
        def rule(self) -> Rule:
            """The verification rule."""

        @property
        def parameters(self) -> Mapping[str, Any]:
            """The values of the rule's parameters."""

    @property
    def drawing(self) -> Drawing:
        """How the children of a node are drawn."""
        return self.rule.drawings[0]

    @property
    def lossless(self) -> bool:
        """Whether the output has the target's law on every pair."""
        return self.rule.lossless

    @property
    def plain(self) -> bool:
        """Whether nothing is ever drafted, so that every token is one of the target."""
        return self.structure(1).depth == 0

    def structure(self, limit: int) -> Structure:
        """Return what a round drafts when `limit` positions are left."""
        raise NotImplementedError

    @property
    def whole_bonus(self) -> bool:
        """Whether a whole accepted draft is followed by a token of the target, where a position is left."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """The descriptor in the grammar of the command line, such as ``batch:drafts=4``."""
        raise NotImplementedError

    @property
    def identity(self) -> str:
        """SHA-256, in hexadecimal, of the descriptor with its tables; it names stored results."""
        digest = hashlib.sha256(type(self).__name__.encode())
        for entry in fields(self):  # type: ignore[arg-type]
            digest.update(f"|{entry.name}=".encode())
            digest.update(_canonical(getattr(self, entry.name)).encode())
        return digest.hexdigest()

    def __str__(self) -> str:
        return self.label

    def _repr_html_(self) -> str:
        facts = {
            "rule": f"{self.rule.name}: {self.rule.title}",
            "source": self.rule.source,
            "lossless": "yes" if self.lossless else "no",
            "drafts drawn": self.drawing,
            "bonus token": "yes" if self.whole_bonus else "no",
        }
        return as_html(self.label, facts)


class _Named(Algorithm):
    """A descriptor with its own class, for a rule of the catalogue."""

    rule_name: ClassVar[str]

    @property
    def label(self) -> str:
        """The descriptor in the grammar of the command line, such as ``batch:drafts=4``."""
        parts = [
            f"{entry.name}={_spell(getattr(self, entry.name))}"
            for entry in fields(self)  # type: ignore[arg-type]
            # Whether a finite draft has a bonus token is always said.
            if getattr(self, entry.name) != entry.default or (entry.name == "bonus" and self.whole_bonus)
        ]
        return self.keyword + (":" + ",".join(parts) if parts else "")

    @property
    def rule(self) -> Rule:
        """The verification rule."""
        return get_rule(self.rule_name)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The values of the rule's parameters."""
        return {name: getattr(self, name) for name in self.rule.parameters}


@dataclass(frozen=True, kw_only=True)
class Autoregressive(_Named):
    """Plain decoding from the target, one target call per token (2411.00841, Algorithm 3).

    Examples
    --------
    >>> from specsim import Autoregressive, paper_pair, theory
    >>> theory.expected_target_calls(paper_pair(50), Autoregressive(), exact=True)
    Fraction(50, 1)
    """

    keyword: ClassVar[str] = "autoregressive"
    # Nothing is drafted, so that no test is ever made.
    rule_name: ClassVar[str] = "ratio"

    def structure(self, limit: int) -> Structure:
        """Return the empty draft."""
        return chain(0)

    @property
    def whole_bonus(self) -> bool:
        """Every token is one of the target."""
        return True


def _with_synonyms(descriptor: type[D]) -> type[D]:
    """Let a descriptor take other names of the draft length, such as ``gamma``."""
    build: Any = vars(descriptor)["__init__"]

    @wraps(build)
    def init(self: Any, **values: Any) -> None:
        for name in [name for name in values if name in SYNONYMS]:
            if "draft_length" in values:
                raise InputError(f"draft_length and {name} are both given; they mean the same, give only one")
            values["draft_length"] = values.pop(name)
        build(self, **values)

    setattr(descriptor, "__init__", init)  # noqa: B010
    return descriptor


class _Chain(_Named):
    """A descriptor that drafts one chain."""

    draft_length: int | None
    bonus: bool

    def structure(self, limit: int) -> Structure:
        """Return a chain of `draft_length` tokens, cut at `limit`."""
        return chain(limit if self.draft_length is None else min(self.draft_length, limit))

    @property
    def whole_bonus(self) -> bool:
        """Whether a finite draft is followed by a bonus token."""
        return self.draft_length is not None and self.bonus


class _Paths(_Named):
    """A descriptor that drafts several independent paths."""

    draft_length: int | None
    bonus: bool
    drafts: int | float

    def structure(self, limit: int) -> Structure:
        """Return `drafts` paths of `draft_length` tokens, cut at `limit`."""
        return paths(self.drafts, limit if self.draft_length is None else min(self.draft_length, limit))

    @property
    def whole_bonus(self) -> bool:
        """Whether a finite draft is followed by a bonus token."""
        return self.draft_length is not None and self.bonus


@_with_synonyms
@dataclass(frozen=True, kw_only=True)
class Speculative(_Chain):
    """Speculative decoding (2411.00841, Algorithm 1; 2211.17192; 2302.01318).

    Parameters
    ----------
    draft_length
        Drafted tokens per target call. Defaults to None: to the horizon, as in 2411.00841, where no bonus
        token exists.
    bonus
        Whether a target token is emitted when a whole finite draft is accepted and a position is left.
        The last round is cut at the horizon.

    Examples
    --------
    >>> from specsim import Speculative
    >>> Speculative(draft_length=4).label
    'speculative:draft_length=4,bonus=yes'
    """

    draft_length: int | None = None
    bonus: bool = True
    keyword: ClassVar[str] = "speculative"
    rule_name: ClassVar[str] = "ratio"

    def __post_init__(self) -> None:
        _check_round(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class RejectionBased(_Chain):
    """Any member of the rejection-based family (2411.00841, Algorithm 2).

    Parameters
    ----------
    acceptance
        Probability of accepting each drafted token, shape ``(steps or 1, contexts, tokens)`` or
        ``(contexts, tokens)``; floats or `fractions.Fraction` objects, each read as the exact number it is.
    residual
        Law of the token written after a rejection, same shape; rows sum to 1 (floats: within 1e-9).
    draft_length, bonus
        As in `Speculative`; the paper's family drafts to the horizon and has no bonus token.

    Examples
    --------
    >>> from specsim import RejectionBased
    >>> RejectionBased(acceptance=[[1.0, 0.5]], residual=[[1.0, 0.0]]).rule.name
    'rejection-based'
    """

    acceptance: NDArray[Any]
    residual: NDArray[Any]
    draft_length: int | None = None
    bonus: bool = True
    keyword: ClassVar[str] = "rejection-based"
    rule_name: ClassVar[str] = "rejection-based"

    def __post_init__(self) -> None:
        _check_round(self)
        _check_parameters(self)

    @property
    def label(self) -> str:
        """The descriptor without its tables."""
        finite = self.draft_length is not None
        return self.keyword + (
            f":draft_length={self.draft_length},bonus={_spell(self.bonus)}" if finite else ""
        )


@_with_synonyms
@dataclass(frozen=True, kw_only=True)
class OverAcceptance(_Chain):
    """Over-acceptance: accept with min(1, (T + epsilon) / D) (2411.00841, section 4.2 and Appendix G).

    Parameters
    ----------
    epsilon
        Non-negative; a float (read as the exact number it is) or a `fractions.Fraction`.
    residual
        ``"optimal"``: the normalised positive part of T - D (Decoding-OPT); ``"target"``: the target row
        (Decoding-UNO as the text defines it); ``"draft"``: the draft row (Decoding-UNO as the printed
        listing does).
    draft_length, bonus
        As in `Speculative`; the paper's family drafts to the horizon and has no bonus token.

    Examples
    --------
    >>> from fractions import Fraction
    >>> from specsim import OverAcceptance
    >>> OverAcceptance(epsilon=Fraction(1, 8)).lossless
    False
    """

    epsilon: float | Fraction
    residual: Residual = "optimal"
    draft_length: int | None = None
    bonus: bool = True
    keyword: ClassVar[str] = "over-acceptance"
    rule_name: ClassVar[str] = "over-acceptance"

    @property
    def lossless(self) -> bool:
        """Whether nothing is over-accepted and rejected tokens are replaced by those that lack mass."""
        return self.epsilon == 0 and self.residual == "optimal"

    def __post_init__(self) -> None:
        _check_round(self)
        _check_parameters(self)


@_with_synonyms
@dataclass(frozen=True, kw_only=True)
class Batch(_Paths):
    """Batch speculative decoding: the corrected Algorithm 4 of 2411.00841.

    Every round draws `drafts` independent continuations in one target call; their first tokens are tried in
    turn by recursive rejection, and the walk goes on along the first accepted one by the rules of
    `Speculative`.

    Parameters
    ----------
    drafts
        Number of parallel drafts M, at least 1; ``math.inf`` is the limit, known to theory only.
    draft_length, bonus
        As in `Speculative`; the paper's algorithm drafts to the horizon and has no bonus token.

    Examples
    --------
    >>> from specsim import Batch
    >>> Batch(drafts=4, draft_length=2).label
    'batch:drafts=4,draft_length=2,bonus=yes'
    """

    drafts: int | float
    draft_length: int | None = None
    bonus: bool = True
    keyword: ClassVar[str] = "batch"
    rule_name: ClassVar[str] = "recursive"

    def __post_init__(self) -> None:
        _check_round(self)
        _check_drafts(self, infinite=True)


@dataclass(frozen=True, kw_only=True)
class BatchAsPrinted(_Named):
    """Algorithm 4 of 2411.00841 as printed, with one of its two slips. Biased; kept as an erratum.

    Parameters
    ----------
    drafts
        Number of parallel drafts M, at least 1.
    slip
        ``"inside-loop"``: lines 25-29 stand inside the loop over the drafts, so that the first failure at
        the root ends the round. ``"extra-subtraction"``: they stand after it, but line 28 subtracts the
        draft once more from a row that line 19 has already updated.

    Examples
    --------
    >>> from specsim import BatchAsPrinted
    >>> BatchAsPrinted(drafts=4, slip="inside-loop").lossless
    False
    """

    drafts: int
    slip: Slip
    keyword: ClassVar[str] = "batch-as-printed"
    rule_name: ClassVar[str] = "batch-as-printed"

    def __post_init__(self) -> None:
        _check_drafts(self, infinite=False)
        _check_parameters(self)

    def structure(self, limit: int) -> Structure:
        """Return `drafts` paths to the horizon, as in the paper."""
        return paths(self.drafts, limit)

    @property
    def whole_bonus(self) -> bool:
        """A draft reaches to the horizon, so that no bonus token exists."""
        return False


@_with_synonyms
@dataclass(frozen=True, kw_only=True)
class BlockVerification(_Chain):
    """Block verification (2403.10444), here as a comparison from outside the rejection-based family.

    Parameters
    ----------
    draft_length, bonus
        As in `Speculative`.

    Examples
    --------
    >>> from specsim import BlockVerification
    >>> BlockVerification(draft_length=4).label
    'block-verification:draft_length=4,bonus=yes'
    """

    draft_length: int | None = None
    bonus: bool = True
    keyword: ClassVar[str] = "block-verification"
    rule_name: ClassVar[str] = "block"

    def __post_init__(self) -> None:
        _check_round(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Verification(Algorithm):
    """A rule of the catalogue, or of one's own, on a draft structure.

    Build it by calling the rule: ``get_rule("k-seq")(drafts=3, draft_length=2)``.

    Parameters
    ----------
    rule
        The verification rule.
    draft_length
        Drafted tokens per path. Defaults to None: to the horizon, or to the depth of `tree`.
    drafts
        Number of paths from the root. Defaults to None, one.
    tree
        Children of each node by depth, such as ``(2, 2, 1)``, or a `Structure`; instead of `draft_length` and
        `drafts`, into which a tree that is a chain or paths is turned.
    bonus
        Whether a target token is emitted when a path of a finite draft is accepted to its end and a position
        is left. Defaults to True.
    drawn
        How the children of a node are drawn. Defaults to None, the rule's usual way.
    parameters
        Values of the rule's parameters.

    Raises
    ------
    InputError
        A structure or a way of drawing that the rule does not serve, an unknown or missing parameter.
    """

    rule: Rule  # type: ignore[misc, unused-ignore]
    draft_length: int | None = None
    drafts: int | None = None
    tree: Sequence[int] | Structure | None = None
    bonus: bool = True
    drawn: Drawing | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)  # type: ignore[assignment, unused-ignore]

    def __post_init__(self) -> None:
        _check_round(self)
        if self.drafts is not None:
            _check_drafts(self, infinite=False)
        if self.tree is not None:
            if self.draft_length is not None or self.drafts is not None:
                raise InputError(
                    "tree is given with draft_length or drafts; give either the tree or the others"
                )
            tree = self.tree if isinstance(self.tree, Structure) else levels(self.tree)
            if tree.depth == 0:
                raise InputError("tree is empty; give the number of children at each depth")
            # One spelling for each structure, so that equal algorithms are equal.
            if tree.kind == "tree":
                object.__setattr__(self, "tree", tree if tree.widths is None else tree.widths)
            else:
                object.__setattr__(self, "tree", None)
                object.__setattr__(self, "drafts", len(tree.children(0)))
                object.__setattr__(self, "draft_length", tree.depth)
        if self.drafts == 1:
            object.__setattr__(self, "drafts", None)
        kind = self._whole(1).kind
        if kind not in self.rule.structures:
            raise InputError(
                f"rule {self.rule.name} verifies {', '.join(self.rule.structures)}, not a {kind}; "
                "change tree or drafts"
            )
        if self.drawn is not None and self.drawn not in self.rule.drawings:
            raise InputError(
                f"drawn is {self.drawn!r}; rule {self.rule.name} takes {', '.join(self.rule.drawings)}"
            )
        known = self.rule.parameters
        for name in self.parameters:
            if name not in known:
                unknown(
                    f"rule {self.rule.name}: parameter",
                    name,
                    [*known, "draft_length", "drafts", "tree", "bonus", "drawn"],
                )
        values = {name: self.parameters.get(name, entry.default) for name, entry in known.items()}
        for name, value in values.items():
            if value is REQUIRED:
                raise InputError(f"rule {self.rule.name}: {name} is missing; give {name}=")
        object.__setattr__(self, "parameters", self.rule.check_parameters(values))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Verification) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    @property
    def drawing(self) -> Drawing:
        """How the children of a node are drawn."""
        return self.rule.drawings[0] if self.drawn is None else self.drawn

    def structure(self, limit: int) -> Structure:
        """Return the draft structure, cut at `limit`."""
        return self._whole(limit).cut(limit)

    def _whole(self, horizon: int) -> Structure:
        """Return the whole draft structure; a draft without a length goes to `horizon`."""
        if isinstance(self.tree, Structure):
            return self.tree
        if self.tree is not None:
            return levels(self.tree)
        return paths(self.drafts or 1, self.draft_length or horizon)

    @property
    def whole_bonus(self) -> bool:
        """Whether a finite draft is followed by a bonus token."""
        return (self.draft_length is not None or self.tree is not None) and self.bonus

    @property
    def label(self) -> str:
        """The descriptor in the grammar, such as ``k-seq:drafts=2,draft_length=3,bonus=yes``."""
        parts = [
            f"{name}={_spell(value)}"
            for name, value in self.parameters.items()
            if not isinstance(value, np.ndarray)
        ]
        if self.tree is not None or self.draft_length is not None:
            parts.append(self._whole(1).label)
        elif self.drafts is not None:
            parts.append(f"drafts={self.drafts}")
        if self.whole_bonus or not self.bonus:
            parts.append(f"bonus={_spell(self.bonus)}")
        if self.drawn is not None:
            parts.append(f"drawn={self.drawn}")
        return self.rule.name + (":" + ",".join(parts) if parts else "")


def _check_round(algorithm: Any) -> None:
    """Check the fields that say how long a round is; whole numbers of NumPy become those of Python."""
    if algorithm.draft_length is not None:
        length = whole("draft_length", algorithm.draft_length, 1, otherwise=", or None for the horizon")
        object.__setattr__(algorithm, "draft_length", length)
    if not isinstance(algorithm.bonus, bool):
        raise InputError(f"bonus is {algorithm.bonus!r}; give True or False")


def _check_drafts(algorithm: Any, *, infinite: bool) -> None:
    if infinite and isinstance(algorithm.drafts, float) and algorithm.drafts == math.inf:
        return
    drafts = whole("drafts", algorithm.drafts, 1, otherwise=", or inf for the limit" if infinite else "")
    object.__setattr__(algorithm, "drafts", drafts)


def _check_parameters(algorithm: _Named) -> None:
    """Check the fields that are parameters of the rule."""
    for name, value in algorithm.rule.check_parameters(algorithm.parameters).items():
        object.__setattr__(algorithm, name, value)


def _canonical(value: object) -> str:
    """Spell a field for `Algorithm.identity`: tables entry by entry, a rule of the catalogue by its name."""
    if isinstance(value, np.ndarray):
        return f"{value.shape}" + "".join(f" {Fraction(entry)}" for entry in value.flat)
    if isinstance(value, Rule):
        return value.identity
    if isinstance(value, Mapping):
        return "".join(
            f"|{name}={_canonical(Fraction(item) if isinstance(item, int) else item)}"
            for name, item in sorted(value.items())
        )
    return repr(value)


def _spell(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
