"""Rejections and losses of over-acceptance along its own output (beyond 2411.00841, Remark 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from specsim.errors import TooLargeError
from specsim.pairs import ModelPair
from specsim.theory.rational_pair import RationalPair, as_rational
from specsim.theory.rows import Number, read_number

_MAX_EXACT_ENTRIES = 20_000
_MAX_OUTPUTS = 65_536


@dataclass(frozen=True, kw_only=True)
class OverAcceptanceIdentity:
    """The three sums that the identity ties together, prefixes drawn from the algorithm's own output.

    Attributes
    ----------
    rejections
        E_A[rejections].
    losses
        E_A[sum_n Loss*_n], the one-position losses of Theorem 4.
    distances
        E_A[sum_n TV_n], the one-position distances between target and draft.
    joint_bias
        Total variation distance of the algorithm's law of (first context, output) to the target's, at most
        `losses`; None when there are too many outputs to list.
    """

    rejections: Number
    losses: Number
    distances: Number
    joint_bias: Number | None


def over_acceptance_identity(
    pair: ModelPair | RationalPair,
    epsilon: float | Fraction,
    *,
    horizon: int | None = None,
    exact: bool = False,
) -> OverAcceptanceIdentity:
    """Compute both sides of E_A[rejections] + E_A[sum Loss*_n] = E_A[sum TV_n].

    A is over-acceptance with the optimal residual (2411.00841, section 4.2). Theorem 5 holds at every
    position; averaging it over the prefixes that A itself writes, not those of the target, gives the
    identity. The joint bias is at most the sum of the losses along the way.

    Parameters
    ----------
    pair
        A `ModelPair` or a `RationalPair`.
    epsilon
        At least 0; a float is read as the exact number it is.
    horizon
        Number of tokens. Defaults to None, the pair's own.
    exact
        Whether to compute in `fractions.Fraction`. Defaults to False, float64.

    Returns
    -------
    OverAcceptanceIdentity

    Raises
    ------
    InputError
        `epsilon` is negative or not finite, or `horizon` does not fit the pair.
    TooLargeError
        With `exact=True`: more than 20000 (step, context, token) triples, whose rationals grow too long.
    """
    extra: Any = read_number("epsilon", epsilon, exact=exact)
    rational = as_rational(pair, horizon)
    entries = rational.horizon * rational.contexts * rational.tokens
    if exact and entries > _MAX_EXACT_ENTRIES:
        raise TooLargeError(
            f"{entries} (step, context, token) triples are too many for exact=True; at most "
            f"{_MAX_EXACT_ENTRIES}, use exact=False or a shorter horizon"
        )
    number = Fraction if exact else float
    outputs = sum(1 for mass in rational.initial if mass) * rational.tokens**rational.horizon
    mass: list[Any] = [number(m) for m in rational.initial]
    # Per output so far: context, mass under the algorithm, mass under the target.
    prefixes: list[tuple[int, Any, Any]] = [(c, m, m) for c, m in enumerate(mass) if m]
    totals: list[Any] = [number(0)] * 3
    for step in range(rational.horizon):
        rows: list[tuple[list[Any], list[Any]]] = []
        after: list[Any] = [number(0)] * rational.contexts
        for context in range(rational.contexts):
            target = [number(t) for t in rational.target_row(step, context)]
            draft = [number(d) for d in rational.draft_row(step, context)]
            accepted = [min(d, t + extra) for t, d in zip(target, draft, strict=True)]
            rejection = sum(d - g for d, g in zip(draft, accepted, strict=True))
            missing = [max(t - d, 0 * t) for t, d in zip(target, draft, strict=True)]
            written = list(accepted)
            if rejection > 0:
                share = rejection / sum(missing)
                written = [g + share * m for g, m in zip(accepted, missing, strict=True)]
            weight = mass[context]
            bias = sum(abs(t - w) for t, w in zip(target, written, strict=True)) / 2
            for k, value in enumerate((rejection, bias, sum(missing))):
                totals[k] += weight * value
            for x, w in enumerate(written):
                after[rational.next_context[context][x]] += weight * w
            rows.append((written, target))
        if outputs <= _MAX_OUTPUTS:
            prefixes = _extend(prefixes, rows, rational.next_context)
        mass = after
    joint = sum(abs(o - t) for _, o, t in prefixes) / 2 if outputs <= _MAX_OUTPUTS else None
    return OverAcceptanceIdentity(
        rejections=totals[0], losses=totals[1], distances=totals[2], joint_bias=joint
    )


def _extend(
    prefixes: Sequence[tuple[int, Any, Any]],
    rows: Sequence[tuple[list[Any], list[Any]]],
    next_context: Sequence[Sequence[int]],
) -> list[tuple[int, Any, Any]]:
    return [
        (next_context[context][x], written * w, aimed * t)
        for context, written, aimed in prefixes
        for x, (w, t) in enumerate(zip(*rows[context], strict=True))
        if written * w or aimed * t
    ]
