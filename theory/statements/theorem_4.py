"""Bias against rejections at one position (2411.00841, Theorems 4 and 5).

At one position a member of the rejection-based family accepts the drafted token x with probability
``acceptance[x]`` and replaces a rejected token by one from the law ``residual``. Its *bias* is the total
variation distance of the law of the token it writes to the target row. Every function reads rows as
sequences of numbers, one per token; with ``exact=True`` each number is taken as the rational it is and the
rows must sum to exactly 1. The acceptance of a token that is never drafted does not matter.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, overload

from numpy.typing import NDArray

from specsim.errors import InputError
from specsim.theory.arithmetic.rows import (
    Number,
    Row,
    as_array,
    read_number,
    read_row,
    read_values,
    same_length,
)

__all__ = [
    "OverAcceptanceLosses",
    "front_excess",
    "loss",
    "over_acceptance",
    "over_acceptance_loss",
    "over_acceptance_losses",
    "rejection_probability",
    "total_variation",
    "written_law",
]


@overload
def total_variation(target_row: Row, draft_row: Row, *, exact: Literal[False] = False) -> float: ...
@overload
def total_variation(target_row: Row, draft_row: Row, *, exact: Literal[True]) -> Fraction: ...
@overload
def total_variation(target_row: Row, draft_row: Row, *, exact: bool) -> float | Fraction: ...
def total_variation(target_row: Row, draft_row: Row, *, exact: bool = False) -> float | Fraction:
    """Total variation distance of two rows, half their L1 distance.

    Parameters
    ----------
    target_row, draft_row
        Laws over the tokens.
    exact
        Whether to compute in `fractions.Fraction`. Defaults to False, float64.

    Raises
    ------
    InputError
        A row is not a law, or the lengths differ.

    Examples
    --------
    >>> from specsim import theory
    >>> theory.total_variation([0.5, 0.5], [0.25, 0.75])
    0.25
    """
    target, draft = _two_rows(target_row, draft_row, exact)
    return _distance(target, draft)


@overload
def rejection_probability(draft_row: Row, acceptance: Row, *, exact: Literal[False] = False) -> float: ...
@overload
def rejection_probability(draft_row: Row, acceptance: Row, *, exact: Literal[True]) -> Fraction: ...
@overload
def rejection_probability(draft_row: Row, acceptance: Row, *, exact: bool) -> float | Fraction: ...
def rejection_probability(draft_row: Row, acceptance: Row, *, exact: bool = False) -> float | Fraction:
    """Probability that the drafted token is rejected, sum_x (1 - a(x)) D(x).

    Parameters
    ----------
    draft_row
        Law of the drafted token.
    acceptance
        Probability of accepting each token.
    exact
        Whether to compute in `fractions.Fraction`. Defaults to False, float64.

    Raises
    ------
    InputError
        The row is not a law, an acceptance is outside [0, 1], or the lengths differ.

    Examples
    --------
    >>> from specsim import theory
    >>> theory.rejection_probability([0.25, 0.75], [1.0, 0.5])
    0.375
    """
    draft = read_row("draft_row", draft_row, exact=exact)
    accept = read_values("acceptance", acceptance, exact=exact)
    same_length(draft_row=draft, acceptance=accept)
    return _rejection(draft, accept)


def written_law(draft_row: Row, acceptance: Row, residual: Row, *, exact: bool = False) -> NDArray[Any]:
    """Law of the token that is written, a(x) D(x) + r(x) Pr(reject).

    Parameters
    ----------
    draft_row, acceptance
        As in `rejection_probability`.
    residual
        Law of the token written after a rejection.
    exact
        Whether to compute in `fractions.Fraction`. Defaults to False, float64.

    Returns
    -------
    ndarray
        Shape ``(tokens,)``; float64, or objects when exact.

    Raises
    ------
    InputError
        As in `rejection_probability`, also for `residual`.

    Examples
    --------
    >>> from specsim import theory
    >>> theory.written_law([0.25, 0.75], [1.0, 0.5], [1.0, 0.0])
    array([0.625, 0.375])
    """
    draft = read_row("draft_row", draft_row, exact=exact)
    accept = read_values("acceptance", acceptance, exact=exact)
    replace = read_row("residual", residual, exact=exact)
    same_length(draft_row=draft, acceptance=accept, residual=replace)
    return as_array(_written(draft, accept, replace), exact=exact)


@overload
def loss(
    target_row: Row, draft_row: Row, acceptance: Row, residual: Row, *, exact: Literal[False] = False
) -> float: ...
@overload
def loss(
    target_row: Row, draft_row: Row, acceptance: Row, residual: Row, *, exact: Literal[True]
) -> Fraction: ...
@overload
def loss(
    target_row: Row, draft_row: Row, acceptance: Row, residual: Row, *, exact: bool
) -> float | Fraction: ...
def loss(
    target_row: Row, draft_row: Row, acceptance: Row, residual: Row, *, exact: bool = False
) -> float | Fraction:
    """Bias of a member: the distance of the law it writes to the target (2411.00841, section 4.2).

    Parameters
    ----------
    target_row, draft_row
        Laws over the tokens.
    acceptance
        Probability of accepting each token.
    residual
        Law of the token written after a rejection.
    exact
        Whether to compute in `fractions.Fraction`. Defaults to False, float64.

    Raises
    ------
    InputError
        A row is not a law, an acceptance is outside [0, 1], or the lengths differ.

    Examples
    --------
    >>> from specsim import theory
    >>> theory.loss([0.5, 0.5], [0.25, 0.75], [1.0, 1.0], [1.0, 0.0])
    0.25
    """
    target, draft = _two_rows(target_row, draft_row, exact)
    accept = read_values("acceptance", acceptance, exact=exact)
    replace = read_row("residual", residual, exact=exact)
    same_length(target_row=target, acceptance=accept, residual=replace)
    return _distance(target, _written(draft, accept, replace))


@overload
def over_acceptance_loss(
    target_row: Row, draft_row: Row, acceptance: Row, *, exact: Literal[False] = False
) -> float: ...
@overload
def over_acceptance_loss(
    target_row: Row, draft_row: Row, acceptance: Row, *, exact: Literal[True]
) -> Fraction: ...
@overload
def over_acceptance_loss(
    target_row: Row, draft_row: Row, acceptance: Row, *, exact: bool
) -> float | Fraction: ...
def over_acceptance_loss(
    target_row: Row, draft_row: Row, acceptance: Row, *, exact: bool = False
) -> float | Fraction:
    """Smallest bias that any residual leaves for a given acceptance (2411.00841, Theorem 4).

    Loss* = half of sum_x abs(T - a D) minus half of sum_x (1 - a) D, attained by the laws of
    `specsim.theory.statements.residual_sets.optimal_residuals`.
    It is 0 exactly when a <= min(1, T / D) on every token that can be drafted.

    Parameters
    ----------
    target_row, draft_row
        Laws over the tokens.
    acceptance
        Probability of accepting each token.
    exact
        Whether to compute in `fractions.Fraction`. Defaults to False, float64.

    Raises
    ------
    InputError
        A row is not a law, an acceptance is outside [0, 1], or the lengths differ.

    Examples
    --------
    >>> from fractions import Fraction
    >>> from specsim import theory
    >>> half, quarter = Fraction(1, 2), Fraction(1, 4)
    >>> theory.over_acceptance_loss([half, half], [quarter, 3 * quarter], [1, 1], exact=True)
    Fraction(1, 4)
    """
    target, draft = _two_rows(target_row, draft_row, exact)
    accept = read_values("acceptance", acceptance, exact=exact)
    same_length(target_row=target, acceptance=accept)
    return _smallest_loss(target, draft, accept)


@overload
def front_excess(
    target_row: Row, draft_row: Row, acceptance: Row, *, exact: Literal[False] = False
) -> float: ...
@overload
def front_excess(target_row: Row, draft_row: Row, acceptance: Row, *, exact: Literal[True]) -> Fraction: ...
@overload
def front_excess(target_row: Row, draft_row: Row, acceptance: Row, *, exact: bool) -> float | Fraction: ...
def front_excess(
    target_row: Row, draft_row: Row, acceptance: Row, *, exact: bool = False
) -> float | Fraction:
    """Distance of Pr(reject) + Loss* above the front: sum_x min((T - a D)_+, (1 - a) D).

    Theorem 5 of 2411.00841 says that Pr(reject) + Loss*(a) = TV(T, D) when min(1, T / D) <= a <= 1. For any
    other acceptance the left side is larger by this sum, which is therefore never negative and is 0 exactly
    when a >= min(1, T / D) on every token that can be drafted.

    Parameters
    ----------
    target_row, draft_row
        Laws over the tokens.
    acceptance
        Probability of accepting each token.
    exact
        Whether to compute in `fractions.Fraction`. Defaults to False, float64.

    Raises
    ------
    InputError
        A row is not a law, an acceptance is outside [0, 1], or the lengths differ.

    Examples
    --------
    >>> from specsim import theory
    >>> theory.front_excess([0.5, 0.5], [0.25, 0.75], [1.0, 0.5])
    0.125
    """
    target, draft = _two_rows(target_row, draft_row, exact)
    accept = read_values("acceptance", acceptance, exact=exact)
    same_length(target_row=target, acceptance=accept)
    zero = Fraction(0) if exact else 0.0
    return sum(
        (min(max(t - a * d, zero), (1 - a) * d) for t, d, a in zip(target, draft, accept, strict=True)), zero
    )


def over_acceptance(
    target_row: Row, draft_row: Row, epsilon: float | Fraction, *, exact: bool = False
) -> NDArray[Any]:
    """Return the acceptance of the over-acceptance rule, min(1, (T + epsilon) / D) (2411.00841, section 4.2).

    Parameters
    ----------
    target_row, draft_row
        Laws over the tokens.
    epsilon
        At least 0; 0 is speculative decoding.
    exact
        Whether to compute in `fractions.Fraction`. Defaults to False, float64.

    Returns
    -------
    ndarray
        Shape ``(tokens,)``; 1 where the token is never drafted.

    Raises
    ------
    InputError
        A row is not a law, the lengths differ, or `epsilon` is negative or not finite.

    Examples
    --------
    >>> from specsim import theory
    >>> theory.over_acceptance([0.5, 0.5], [0.25, 0.75], 0.125).round(3)
    array([1.   , 0.833])
    """
    target, draft = _two_rows(target_row, draft_row, exact)
    extra = read_number("epsilon", epsilon, exact=exact)
    return as_array(_relaxed(target, draft, extra), exact=exact)


@dataclass(frozen=True, kw_only=True)
class OverAcceptanceLosses:
    """Rejection probability and bias of the over-acceptance rule with each of its three residuals.

    Always ``optimal <= target <= draft``.

    Attributes
    ----------
    rejection
        Probability of rejecting the drafted token.
    optimal
        Bias with the optimal residual (Decoding-OPT).
    target
        Bias when a rejected token is replaced by a draw from the target row (Decoding-UNO in the text).
    draft
        Bias when it is replaced by a draw from the draft row (Decoding-UNO in the printed listing).

    Examples
    --------
    >>> from specsim import theory
    >>> theory.over_acceptance_losses([0.5, 0.5], [0.25, 0.75], 0.0).optimal
    0.0
    """

    rejection: Number
    optimal: Number
    target: Number
    draft: Number


def over_acceptance_losses(
    target_row: Row, draft_row: Row, epsilon: float | Fraction, *, exact: bool = False
) -> OverAcceptanceLosses:
    """Bias of Decoding-OPT and of both readings of Decoding-UNO (2411.00841, section 4.2, Appendix G).

    Parameters
    ----------
    target_row, draft_row
        Laws over the tokens.
    epsilon
        At least 0.
    exact
        Whether to compute in `fractions.Fraction`. Defaults to False, float64.

    Raises
    ------
    InputError
        A row is not a law, the lengths differ, or `epsilon` is negative or not finite.

    Examples
    --------
    >>> from specsim import theory
    >>> losses = theory.over_acceptance_losses([0.5, 0.5], [0.25, 0.75], 0.125)
    >>> round(losses.rejection, 3), round(losses.optimal, 3), round(losses.target, 3)
    (0.125, 0.125, 0.188)
    """
    target, draft = _two_rows(target_row, draft_row, exact)
    accept = _relaxed(target, draft, read_number("epsilon", epsilon, exact=exact))
    return OverAcceptanceLosses(
        rejection=_rejection(draft, accept),
        optimal=_smallest_loss(target, draft, accept),
        target=_distance(target, _written(draft, accept, target)),
        draft=_distance(target, _written(draft, accept, draft)),
    )


def _two_rows(target_row: Row, draft_row: Row, exact: bool) -> tuple[list[Any], list[Any]]:
    if not isinstance(exact, bool):
        raise InputError(f"exact is {exact!r}; give True or False")
    target = read_row("target_row", target_row, exact=exact)
    draft = read_row("draft_row", draft_row, exact=exact)
    same_length(target_row=target, draft_row=draft)
    return target, draft


def _distance(one: list[Any], other: list[Any]) -> Number:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / 2


def _rejection(draft: list[Any], accept: list[Any]) -> Number:
    return sum((1 - a) * d for a, d in zip(accept, draft, strict=True))


def _written(draft: list[Any], accept: list[Any], replace: list[Any]) -> list[Any]:
    rejection = _rejection(draft, accept)
    return [a * d + rejection * r for a, d, r in zip(accept, draft, replace, strict=True)]


def _smallest_loss(target: list[Any], draft: list[Any], accept: list[Any]) -> Number:
    absolute = sum(abs(t - a * d) for t, a, d in zip(target, accept, draft, strict=True))
    # Float cancellation can leave -1e-17; a loss is never negative.
    return max((absolute - _rejection(draft, accept)) / 2, 0 * absolute)


def _relaxed(target: list[Any], draft: list[Any], epsilon: Number) -> list[Any]:
    one = Fraction(1) if isinstance(epsilon, Fraction) else 1.0
    return [min(one, (t + epsilon) / d) if d else one for t, d in zip(target, draft, strict=True)]
