"""Descriptors of decoding algorithms: what decodes, without any behaviour.

A descriptor states a verification rule (see `specsim.algorithms.rule`), the draft structure of a round and
the rule's parameters; theory, engines and models read these facts and never ask for a type or a name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from specsim.algorithms.rule import REQUIRED, Drawing, Rule, get_rule
from specsim.algorithms.structures import Structure, chain, levels, paths
from specsim.errors import InputError

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
        parts = []
        for entry in fields(self):  # type: ignore[arg-type]
            value = getattr(self, entry.name)
            if value == entry.default:
                continue
            parts.append(f"{entry.name}={_spell(value)}")
        return self.keyword + (":" + ",".join(parts) if parts else "")


class _Named(Algorithm):
    """A descriptor with a class of its own, for a rule of the catalogue."""

    rule_name: ClassVar[str]

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
    """Plain decoding from the target, one target call per token (2411.00841, Algorithm 3)."""

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
    """

    draft_length: int | None = None
    bonus: bool = True
    keyword: ClassVar[str] = "speculative"
    rule_name: ClassVar[str] = "ratio"

    def __post_init__(self) -> None:
        check_draft_length(self.draft_length)
        _check_flag("bonus", self.bonus)


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
        As in `Speculative`; the paper's family has no bonus token, hence the default False.
    """

    acceptance: NDArray[Any]
    residual: NDArray[Any]
    draft_length: int | None = None
    bonus: bool = False
    keyword: ClassVar[str] = "rejection-based"
    rule_name: ClassVar[str] = "rejection-based"

    def __post_init__(self) -> None:
        check_draft_length(self.draft_length)
        _check_flag("bonus", self.bonus)
        acceptance = _table("acceptance", self.acceptance)
        residual = _table("residual", self.residual)
        if acceptance.shape[1:] != residual.shape[1:]:
            raise InputError(
                f"acceptance has shape {acceptance.shape} and residual {residual.shape}; "
                "contexts and tokens must agree"
            )
        if any(value > 1 for value in acceptance.flat):
            raise InputError("acceptance has an entry above 1; give probabilities")
        exact = residual.dtype == object
        for index in np.ndindex(residual.shape[:2]):
            total = sum(residual[index])
            if (total != 1) if exact else (abs(total - 1) > 1e-9):
                raise InputError(f"residual{list(index)} sums to {total}; divide the row by its sum")
        object.__setattr__(self, "acceptance", acceptance)
        object.__setattr__(self, "residual", residual)

    @property
    def label(self) -> str:
        """The descriptor without its tables."""
        return f"{self.keyword}:draft_length={self.draft_length},bonus={self.bonus}"


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
        As in `Speculative`; the paper's family has no bonus token, hence the default False.
    """

    epsilon: float | Fraction
    residual: Residual = "optimal"
    draft_length: int | None = None
    bonus: bool = False
    keyword: ClassVar[str] = "over-acceptance"
    rule_name: ClassVar[str] = "over-acceptance"

    def __post_init__(self) -> None:
        check_draft_length(self.draft_length)
        _check_flag("bonus", self.bonus)
        epsilon = self.epsilon
        if isinstance(epsilon, bool) or not isinstance(epsilon, int | float | Fraction | np.floating):
            raise InputError(f"epsilon is {epsilon!r}; give a number, at least 0")
        if not (math.isfinite(epsilon) and epsilon >= 0):
            raise InputError(f"epsilon is {epsilon}; give a finite number, at least 0")
        if self.residual not in ("optimal", "target", "draft"):
            raise InputError(f"residual is {self.residual!r}; give 'optimal', 'target' or 'draft'")
        if isinstance(epsilon, np.floating):
            object.__setattr__(self, "epsilon", float(epsilon))


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
        As in `Speculative`; the paper's algorithm has no bonus token, hence the default False.
    """

    drafts: int | float
    draft_length: int | None = None
    bonus: bool = False
    keyword: ClassVar[str] = "batch"
    rule_name: ClassVar[str] = "recursive"

    def __post_init__(self) -> None:
        check_draft_length(self.draft_length)
        _check_flag("bonus", self.bonus)
        _check_drafts(self.drafts, infinite=True)


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
    """

    drafts: int
    slip: Slip
    keyword: ClassVar[str] = "batch-as-printed"
    rule_name: ClassVar[str] = "batch-as-printed"

    def __post_init__(self) -> None:
        _check_drafts(self.drafts, infinite=False)
        if self.slip not in ("inside-loop", "extra-subtraction"):
            raise InputError(f"slip is {self.slip!r}; give 'inside-loop' or 'extra-subtraction'")

    def structure(self, limit: int) -> Structure:
        """Return `drafts` paths to the horizon, as in the paper."""
        return paths(self.drafts, limit)

    @property
    def whole_bonus(self) -> bool:
        """A draft reaches to the horizon, so that no bonus token exists."""
        return False


@dataclass(frozen=True, kw_only=True)
class BlockVerification(_Chain):
    """Block verification (2403.10444), here as a comparison from outside the rejection-based family.

    Parameters
    ----------
    draft_length, bonus
        As in `Speculative`.
    """

    draft_length: int | None = None
    bonus: bool = True
    keyword: ClassVar[str] = "block-verification"
    rule_name: ClassVar[str] = "block"

    def __post_init__(self) -> None:
        check_draft_length(self.draft_length)
        _check_flag("bonus", self.bonus)


@dataclass(frozen=True, kw_only=True)
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
        Children of each node by depth, such as ``(2, 2, 1)``, or an irregular `Structure`; instead of
        `draft_length` and `drafts`.
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
    tree: tuple[int, ...] | Structure | None = None
    bonus: bool = True
    drawn: Drawing | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)  # type: ignore[assignment, unused-ignore]

    def __post_init__(self) -> None:
        check_draft_length(self.draft_length)
        _check_flag("bonus", self.bonus)
        if self.drafts is not None:
            _check_drafts(self.drafts, infinite=False)
        if self.tree is not None:
            if self.draft_length is not None or self.drafts is not None:
                raise InputError(
                    "tree is given with draft_length or drafts; give either the tree or the others"
                )
            if not isinstance(self.tree, Structure):
                object.__setattr__(self, "tree", tuple(self.tree))
        kind = self.structure(1 if self.draft_length is None else self.draft_length).kind
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
                raise InputError(f"rule {self.rule.name} has no parameter {name!r}; it has {list(known)}")
        missing = [
            name for name, entry in known.items() if entry.default is REQUIRED and name not in self.parameters
        ]
        if missing:
            raise InputError(f"rule {self.rule.name}: {missing[0]} is missing; give {missing[0]}=")
        values = {name: self.parameters.get(name, entry.default) for name, entry in known.items()}
        object.__setattr__(self, "parameters", values)

    @property
    def drawing(self) -> Drawing:
        """How the children of a node are drawn."""
        return self.rule.drawings[0] if self.drawn is None else self.drawn

    def structure(self, limit: int) -> Structure:
        """Return the draft structure, cut at `limit`."""
        if isinstance(self.tree, Structure):
            return self.tree.cut(limit)
        if self.tree is not None:
            return levels(self.tree).cut(limit)
        length = limit if self.draft_length is None else min(self.draft_length, limit)
        return paths(1 if self.drafts is None else self.drafts, length)

    @property
    def whole_bonus(self) -> bool:
        """Whether a finite draft is followed by a bonus token."""
        return (self.draft_length is not None or self.tree is not None) and self.bonus

    @property
    def label(self) -> str:
        """The descriptor in the grammar, such as ``k-seq:drafts=2,draft_length=3,bonus=yes``."""
        parts = [f"{name}={_spell(value)}" for name, value in self.parameters.items()]
        if isinstance(self.tree, Structure):
            parts.append(self.tree.label)
        elif self.tree is not None:
            parts.append("tree=" + "-".join(str(width) for width in self.tree))
        if self.drafts is not None:
            parts.append(f"drafts={self.drafts}")
        if self.draft_length is not None:
            parts.append(f"draft_length={self.draft_length}")
        if self.draft_length is not None or self.tree is not None:
            parts.append(f"bonus={_spell(self.bonus)}")
        if self.drawn is not None:
            parts.append(f"drawn={self.drawn}")
        return self.rule.name + (":" + ",".join(parts) if parts else "")


def check_draft_length(draft_length: int | None) -> None:
    """Raise `InputError` unless `draft_length` is None or a whole number of at least 1."""
    if draft_length is None:
        return
    if isinstance(draft_length, bool) or not isinstance(draft_length, int) or draft_length < 1:
        raise InputError(
            f"draft_length is {draft_length!r}; give a whole number of at least 1, or None for the horizon"
        )


def _check_flag(field: str, value: bool) -> None:
    if not isinstance(value, bool):
        raise InputError(f"{field} is {value!r}; give True or False")


def _check_drafts(drafts: int | float, *, infinite: bool) -> None:
    if infinite and drafts == math.inf:
        return
    if isinstance(drafts, bool) or not isinstance(drafts, int) or drafts < 1:
        limit = ", or inf for the limit" if infinite else ""
        raise InputError(f"drafts is {drafts!r}; give a whole number of at least 1{limit}")


def _table(field: str, values: ArrayLike) -> NDArray[Any]:
    array = np.array(values, dtype=object)
    exact = any(isinstance(value, Fraction) for value in array.flat)
    if exact:
        for index, value in np.ndenumerate(array):
            if isinstance(value, float) and not math.isfinite(value):
                raise InputError(f"{field}{list(index)} is {value}; probabilities must be finite")
            array[index] = Fraction(value)
    else:
        try:
            array = np.array(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"{field} is not an array of numbers; give floats or Fractions") from None
        if not np.isfinite(array).all():
            raise InputError(f"{field} has an entry that is not finite; give probabilities")
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.size == 0:
        raise InputError(f"{field} has shape {array.shape}; give (steps, contexts, tokens)")
    if any(value < 0 for value in array.flat):
        raise InputError(f"{field} has a negative entry; give probabilities")
    array.flags.writeable = False
    return array


def _spell(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
