"""What the two rows of a place say: rejection probabilities, and how the emitted token came about.

Every number here is computed from rows in float64, in NumPy, by formulas of the theory; nothing is shared
with the code that verifies drafted tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import singledispatch

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm, Autoregressive, Batch, OverAcceptance, Speculative
from specsim.errors import UnsupportedError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class PlaceNumbers:
    """Numbers of places, each of shape ``(places,)``.

    A place is a *root* when it is the first of its round; only batch decoding treats roots differently.

    Attributes
    ----------
    total_variation
        Of the two rows.
    target_of_token, draft_of_token
        Probabilities of the emitted token.
    rejection_root, rejection_inner
        Probability that the place is rejected, given everything before it.
    written_root, written_inner
        Probability that the algorithm writes the emitted token there.
    kept_root, kept_inner
        Probability that the place was not rejected, given the emitted token too.
    from_target, from_draft
        What the probability of the emitted token would be if a rejected token were replaced by a draw from
        the target row or the draft row: the wrong recoveries that the tests of tokens look for.
    """

    total_variation: Floats
    target_of_token: Floats
    draft_of_token: Floats
    rejection_root: Floats
    rejection_inner: Floats
    written_root: Floats
    written_inner: Floats
    kept_root: Floats
    kept_inner: Floats
    from_target: Floats
    from_draft: Floats


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Masses of an algorithm at places: rows of shape ``(places, tokens)``.

    Attributes
    ----------
    accepted
        Mass with which each token is emitted as an accepted drafted one.
    rejected
        Mass with which each token is emitted after a rejection.
    """

    accepted: Floats
    rejected: Floats


@singledispatch
def rule_of(algorithm: Algorithm, target: Floats, draft: Floats, root: bool) -> Rule:
    """Return the masses of an algorithm at places with the given rows; register further rules here.

    Parameters
    ----------
    algorithm
        The descriptor.
    target, draft
        Rows, shape ``(places, tokens)``.
    root
        Whether the places are the first of their rounds.

    Raises
    ------
    UnsupportedError
        The descriptor has no rule that looks at one place alone.
    """
    raise UnsupportedError(
        f"algorithm {algorithm.label!r} cannot be compared with theory place by place; "
        "give speculative, batch or over-acceptance"
    )


@rule_of.register
def _(algorithm: Speculative, target: Floats, draft: Floats, root: bool) -> Rule:
    return Rule(accepted=np.minimum(target, draft), rejected=np.maximum(target - draft, 0.0))


@rule_of.register
def _(algorithm: Autoregressive, target: Floats, draft: Floats, root: bool) -> Rule:
    return Rule(accepted=target, rejected=np.zeros_like(target))


@rule_of.register
def _(algorithm: Batch, target: Floats, draft: Floats, root: bool) -> Rule:
    if not root:
        return Rule(accepted=np.minimum(target, draft), rejected=np.maximum(target - draft, 0.0))
    if algorithm.drafts == math.inf:
        raise UnsupportedError("drafts is inf, which nothing can run; give a whole number")
    # B_M T^(M+1) = (T - C D)_+ with C = 1 + B_1 + ... + B_(M-1) (2411.00841, Theorem 3, in closed form).
    factor = np.ones(len(target))
    left = np.maximum(target - draft, 0.0)
    for _ in range(int(algorithm.drafts) - 1):
        factor = factor + left.sum(axis=1)
        left = np.maximum(target - factor[:, None] * draft, 0.0)
    return Rule(accepted=target - left, rejected=left)


@rule_of.register
def _(algorithm: OverAcceptance, target: Floats, draft: Floats, root: bool) -> Rule:
    accepted = np.minimum(draft, target + float(algorithm.epsilon))
    rejection = (draft - accepted).sum(axis=1, keepdims=True)
    if algorithm.residual == "optimal":
        positive = np.maximum(target - draft, 0.0)
        mass = positive.sum(axis=1, keepdims=True)
        # Where the rows are equal nothing is rejected, so no residual is needed.
        residual = np.where(mass > 0, positive / np.where(mass > 0, mass, 1.0), target)
    else:
        residual = target if algorithm.residual == "target" else draft
    return Rule(accepted=accepted, rejected=rejection * residual)


def place_numbers(algorithm: Algorithm, target: Floats, draft: Floats, token: Ints) -> PlaceNumbers:
    """Return the numbers of places from their rows and the tokens emitted there.

    Parameters
    ----------
    algorithm
        The descriptor.
    target, draft
        Rows after sampling filters, float64, shape ``(places, tokens)``.
    token
        Emitted tokens, shape ``(places,)``.

    Raises
    ------
    UnsupportedError
        As `rule_of`.
    """
    every = np.arange(len(token))
    parts: dict[str, Floats] = {}
    for name, root in (("root", True), ("inner", False)):
        rule = rule_of(algorithm, target, draft, root)
        accepted, rejected = rule.accepted[every, token], rule.rejected[every, token]
        written = accepted + rejected
        parts[f"rejection_{name}"] = rule.rejected.sum(axis=1)
        parts[f"written_{name}"] = written
        parts[f"kept_{name}"] = np.where(written > 0, accepted / np.where(written > 0, written, 1.0), 1.0)
        if not root:
            parts["from_target"] = accepted + parts["rejection_inner"] * target[every, token]
            parts["from_draft"] = accepted + parts["rejection_inner"] * draft[every, token]
    return PlaceNumbers(
        total_variation=0.5 * np.abs(target - draft).sum(axis=1),
        target_of_token=target[every, token],
        draft_of_token=draft[every, token],
        **parts,
    )


def joined(parts: list[PlaceNumbers]) -> PlaceNumbers:
    """Return the numbers of all places, one after the other."""
    return PlaceNumbers(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(PlaceNumbers)
        }
    )
