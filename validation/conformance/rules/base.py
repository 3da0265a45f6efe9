"""What a rule is: the exact law of a verification step, given the drafted tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Structure
from specsim.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
#: (target rows, draft rows or None, drafted tokens) -> law of (accepted length, final token).
StepLaw = Callable[[Floats, Floats | None, Integers], Floats]
#: (structure, target rows, draft rows, tokens of the nodes) -> law of (node, final token).
TreeLaw = Callable[[Structure, Floats, Floats, Integers], Floats]
#: (target row, draft row or None) -> something per token.
PositionLaw = Callable[[Floats, Floats | None], Floats]


def no_law(*rows: object) -> Floats:
    """Refuse: the law of a rule for the other kind of drafts."""
    raise InputError("the rule has a law for chains or for trees, not for both; choose another rule")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A verification rule, or a deliberately wrong one, by its exact law for chains, for trees, or for both.

    Attributes
    ----------
    name
        Lower case with hyphens.
    title
        What it does, in a few words.
    source
        arXiv id, or the public issue in which the bug was seen.
    lossless
        Whether the emitted tokens have the target's law when the drafts have the law `draw`.
    law
        ``law(target, draft, drafted)``: rows of shapes ``(..., K + 1, V)`` and ``(..., K, V)`` (or None),
        drafted tokens ``(..., K)``; returns ``(..., K + 1, V)``, the probability, given the drafted tokens,
        that exactly j of them are accepted and that the token after them is y.
    tree_law
        ``tree_law(structure, target, draft, tokens)``: rows ``(..., N, V)`` of target and draft, tokens
        ``(..., N)``; returns ``(..., N, V)``, the probability, given the tokens, of stopping at the node with
        the final token.
    draw
        The law that drafted tokens really have, given the draft row; shape ``(..., V)`` to ``(..., V)``.
        Defaults to None: the row itself.
    bug_class
        For wrong rules, the class of the bug, such as ``"2 recovery law"``.
    any_draft
        Whether it is lossless whatever law the drafts are drawn from.
    one_hot
        Whether it is the one-hot rule when draft rows are withheld.
    first_coin
        Whether the first drafted token is accepted if and only if the first coin is below the probability of
        its acceptance. Not so for rules that accept a later token in spite of a failed test.

    Examples
    --------
    >>> from specsim.testing import get_rule
    >>> get_rule("ratio").lossless
    True
    """

    name: str
    title: str
    source: str
    lossless: bool
    law: StepLaw = no_law
    tree_law: TreeLaw = no_law
    draw: Callable[[Floats], Floats] | None = None
    bug_class: str = ""
    any_draft: bool = False
    one_hot: bool = False
    first_coin: bool = False

    def serves(self, *, tree: bool) -> bool:
        """Return whether there is a law for chains, or for trees."""
        return (self.tree_law if tree else self.law) is not no_law


def position_rule(
    *,
    name: str,
    title: str,
    source: str,
    lossless: bool,
    acceptance: PositionLaw,
    residual: PositionLaw,
    bonus: Callable[[Floats], Floats] | None = None,
    draw: Callable[[Floats], Floats] | None = None,
    bug_class: str = "",
    any_draft: bool = False,
) -> Rule:
    """Return the rule that tests the drafted tokens one after the other, each by its own rows.

    Parameters
    ----------
    acceptance
        Of a target row and a draft row (or None), both ``(..., V)``: the probability of accepting each token,
        same shape.
    residual
        The law of the token that replaces a rejected one: ``(..., V)``, or ``(..., V, V)`` with the rejected
        token first. Rows for tokens that are never rejected may be anything finite.
    bonus
        The law of the token after a whole accepted draft, of the last target row. Defaults to None: the row.
    name, title, source, lossless, draw, bug_class, any_draft
        As in `Rule`.

    Examples
    --------
    >>> import numpy as np
    >>> from specsim.testing import position_rule
    >>> target_only = position_rule(
    ...     name="target-only", title="Rejects everything", source="made up", lossless=True,
    ...     acceptance=lambda target, draft: np.zeros_like(target), residual=lambda target, draft: target,
    ... )
    >>> target_only.law(np.array([[0.5, 0.5], [0.25, 0.75]]), None, np.array([0]))
    array([[0.5, 0.5],
           [0. , 0. ]])
    """

    def law(target: Floats, draft: Floats | None, drafted: Integers) -> Floats:
        length = drafted.shape[-1]
        table = np.zeros(target.shape)
        reached = np.ones(drafted.shape[:-1])
        for position in range(length):
            row = target[..., position, :]
            drafts = None if draft is None else draft[..., position, :]
            token = drafted[..., position]
            accepted = at_token(acceptance(row, drafts), token)
            recovery = residual(row, drafts)
            if recovery.ndim > row.ndim:
                recovery = rows_at_token(recovery, token)
            table[..., position, :] = (reached * (1.0 - accepted))[..., None] * recovery
            reached = reached * accepted
        last = target[..., length, :]
        table[..., length, :] = reached[..., None] * (last if bonus is None else bonus(last))
        return table

    return Rule(
        name=name,
        title=title,
        source=source,
        lossless=lossless,
        law=law,
        draw=draw,
        bug_class=bug_class,
        any_draft=any_draft,
    )


def law_bug(
    bug_class: str, source: str, *, needs_draft: bool = True
) -> Callable[[Callable[[Floats, Floats, Integers], Floats]], Rule]:
    """Return a decorator that makes a wrong rule of its law; it takes over the function's name and docstring.

    Parameters
    ----------
    bug_class, source
        As in `Rule`.
    needs_draft
        Whether the law reads the draft rows. Defaults to True.
    """

    def make(law: Callable[[Floats, Floats, Integers], Floats]) -> Rule:
        name = name_of(law)

        def checked(target: Floats, draft: Floats | None, drafted: Integers) -> Floats:
            rows = need_draft(draft, name) if needs_draft else target
            return law(target, rows, drafted)

        return wrong_rule(law, bug_class, source, law=checked)

    return make


def wrong_rule(function: Callable[..., object], bug_class: str, source: str, **laws: Any) -> Rule:
    """Return a wrong rule with the name and the docstring of a function, and the given laws."""
    return Rule(
        name=name_of(function),
        title=function.__doc__ or "",
        source=source,
        lossless=False,
        bug_class=bug_class,
        **laws,
    )


def name_of(function: Callable[..., object]) -> str:
    """Return the name of the rule that a function is made into."""
    return function.__name__.replace("_", "-")


def position_bug(
    bug_class: str,
    source: str,
    *,
    needs_draft: bool = True,
    bonus: Callable[[Floats], Floats] | None = None,
    draw: Callable[[Floats], Floats] | None = None,
) -> Callable[[Callable[[Floats, Floats], tuple[Floats, Floats]]], Rule]:
    """Return a decorator that makes a rule of a wrong test; it takes over the function's name and docstring.

    The function returns acceptance and residual of a target and a draft row, as in `position_rule`.

    Parameters
    ----------
    bug_class, source, bonus, draw
        As in `position_rule`.
    needs_draft
        Whether the function reads the draft row. Defaults to True.
    """

    def make(test: Callable[[Floats, Floats], tuple[Floats, Floats]]) -> Rule:
        name = name_of(test)

        def part(number: int) -> Callable[[Floats, Floats | None], Floats]:
            return lambda target, draft: test(target, need_draft(draft, name) if needs_draft else target)[
                number
            ]

        return position_rule(
            name=name,
            title=test.__doc__ or "",
            source=source,
            lossless=False,
            acceptance=part(0),
            residual=part(1),
            bonus=bonus,
            draw=draw,
            bug_class=bug_class,
        )

    return make


def at_token(rows: Floats, token: Integers) -> Floats:
    """Return the entry of each row ``(..., V)`` at its token ``(...)``."""
    return np.take_along_axis(rows, token[..., None], axis=-1)[..., 0]


def rows_at_token(tables: Floats, token: Integers) -> Floats:
    """Return the row of each table ``(..., V, V)`` at its token ``(...)``."""
    return np.take_along_axis(tables, token[..., None, None], axis=-2)[..., 0, :]


def ratio(target: Floats, draft: Floats) -> Floats:
    """Return target / draft with 0 / 0 = 0 and x / 0 = infinity."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(
            draft > 0, target / np.where(draft > 0, draft, 1.0), np.where(target > 0, np.inf, 0.0)
        )


def positive_part(weights: Floats, otherwise: Floats) -> Floats:
    """Return the normalised positive part of each row, or the row of `otherwise` where there is none."""
    part = np.maximum(weights, 0.0)
    total = part.sum(axis=-1, keepdims=True)
    return np.where(total > 0, part / np.where(total > 0, total, 1.0), otherwise)


def need_draft(draft: Floats | None, name: str) -> Floats:
    """Return the draft rows, or raise `InputError` when there are none."""
    if draft is None:
        raise InputError(f"rule {name} needs draft rows, but the sampler takes none; use rule one-hot")
    return draft


def ratio_acceptance(target: Floats, draft: Floats | None) -> Floats:
    """Return min(1, target / draft); 0 where the target is 0."""
    return np.minimum(1.0, ratio(target, need_draft(draft, "ratio")))


def gap_residual(target: Floats, draft: Floats | None) -> Floats:
    """Return the normalised positive part of target - draft (the target where there is none)."""
    return positive_part(target - need_draft(draft, "ratio"), target)


def final_laws(target: Floats, draft: Floats) -> Floats:
    """Return the laws ``(..., K + 1, V)`` of the token after 0 to K accepted ones: residuals and bonus."""
    length = draft.shape[-2]
    residuals = gap_residual(target[..., :length, :], draft)
    return np.concatenate([residuals, target[..., length:, :]], axis=-2)


def without_rejected(target: Floats, draft: Floats | None = None) -> Floats:
    """Return, for each rejected token, the target's law without it: shape ``(..., V, V)``."""
    vocabulary = target.shape[-1]
    kept = np.where(np.eye(vocabulary, dtype=bool), 0.0, target[..., None, :])
    return positive_part(kept, np.broadcast_to(target[..., None, :], kept.shape))


#: The law of the ratio rule for any rows and drafts, which wrong rules are made of: a token that neither row
#: has is rejected.
ratio_law: StepLaw = position_rule(
    name="ratio", title="", source="", lossless=True, acceptance=ratio_acceptance, residual=gap_residual
).law


def bonus_bug(source: str) -> Callable[[Callable[[Floats, Floats, Integers], Floats]], Rule]:
    """Return a decorator that makes the ratio rule with another bonus token of its law ``(..., V)``.

    The function's name and docstring are the rule's.
    """

    def make(bonus: Callable[[Floats, Floats, Integers], Floats]) -> Rule:
        @wraps(bonus)
        def law(target: Floats, draft: Floats, drafted: Integers) -> Floats:
            table = ratio_law(target, draft, drafted)
            whole = table[..., -1, :].sum(axis=-1, keepdims=True)
            table[..., -1, :] = whole * bonus(target, draft, drafted)
            return table

        return law_bug("9 bonus, caches", source)(law)

    return make


def draft_bug(source: str) -> Callable[[Callable[[Floats], Floats]], Rule]:
    """Return a decorator that makes the ratio rule with drafts of another law, a function of it."""
    words = "1 draft law"
    return lambda draw: wrong_rule(draw, words, source, law=ratio_law, draw=draw)


def row_bug(source: str) -> Callable[[Callable[[Integers], tuple[Integers, Integers]]], Rule]:
    """Return a decorator that makes the ratio rule that reads other rows, in test and residual.

    The function takes the positions 0 to K - 1 and returns the target and the draft rows that are read there;
    the nearest one where there is none. The bonus token keeps its row.
    """

    def make(places: Callable[[Integers], tuple[Integers, Integers]]) -> Rule:
        @wraps(places)
        def law(target: Floats, draft: Floats, drafted: Integers) -> Floats:
            length = drafted.shape[-1]
            own, other = places(np.arange(length))
            read = np.append(np.clip(own, 0, length), length)
            return ratio_law(target[..., read, :], draft[..., np.clip(other, 0, length - 1), :], drafted)

        return law_bug("6 rows, off by one", source)(law)

    return make
