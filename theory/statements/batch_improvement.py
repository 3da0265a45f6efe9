"""The gain of a batch at one root position, and the closed forms of the paper's two examples.

All functions compute in the numbers they are given: Fractions and whole numbers give Fractions, floats give
floats.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from specsim.errors import InputError, TooLargeError

Number = int | float | Fraction

_MOST_BITS = 2**26
_MOST_STEPS = 10_000


def batch_improvement_of_rows(target: Sequence[Number], draft: Sequence[Number], drafts: int | float) -> Any:
    """Return TV(T, D) - B_M: how much less often a root is rejected with `drafts` drafts than with one.

    Parameters
    ----------
    target, draft
        One row each, probabilities that sum to 1.
    drafts
        M, a whole number of at least 1, or ``math.inf``.

    Raises
    ------
    InputError
        Rows of unequal length or that do not sum to 1, entries outside [0, 1], or fewer than one draft.

    Notes
    -----
    2411.00841, section 3.3: one term of the batch improvement of Theorem 3. For M -> infinity, B_M tends to
    the target mass outside the draft's support, not to 0.

    Examples
    --------
    >>> from specsim import theory
    >>> theory.batch_improvement_of_rows([0.5, 0.5], [0.25, 0.75], 2)
    0.0625
    """
    for name, given in (("target", target), ("draft", draft)):
        if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray) or not len(given):
            raise InputError(f"{name} is {given!r}; give a row of probabilities")
    if len(target) != len(draft):
        raise InputError(f"target has length {len(target)} and draft {len(draft)}; give rows of one length")
    rows = [_law(name, row) for name, row in (("target", target), ("draft", draft))]
    _check(drafts)
    row, other = rows
    first = sum(max(t - d, 0) for t, d in zip(row, other, strict=True))
    if drafts == math.inf:
        return first - sum(t for t, d in zip(row, other, strict=True) if d == 0)
    mass: Any = 1
    for done in range(min(int(drafts), _MOST_STEPS)):
        excess = [max(t - d, 0) for t, d in zip(row, other, strict=True)]
        step = sum(excess)
        mass = mass * step
        if step == 0:
            return first - mass
        left = [value / step for value in excess]
        if left == row:
            # The residual has become its own residual, so that every further draft changes the mass alike.
            return first - mass * _power(step, drafts - done - 1)
        row = left
    if drafts > _MOST_STEPS:
        raise TooLargeError(f"drafts is {drafts}; give at most {_MOST_STEPS}, or inf for the limit")
    return first - mass


def batch_improvement_uniform(ratio: Number, drafts: int | float) -> Any:
    """Return the improvement for D uniform on V and T uniform on a subset of ``|V|`` / `ratio` tokens.

    ``(1 - 1/ratio) - (1 - 1/ratio)^M``.

    Parameters
    ----------
    ratio
        ``|V| / |V'|``, at least 1.
    drafts
        M, a whole number of at least 1, or ``math.inf`` for the limit 1 - 1/ratio.

    Raises
    ------
    InputError
        `ratio` below 1 or fewer than one draft.

    Notes
    -----
    2411.00841, section 3.3, first example, and figure 3 (right, lower panel).

    Examples
    --------
    >>> from specsim import theory
    >>> theory.batch_improvement_uniform(2, 3)
    Fraction(3, 8)
    """
    value = _exact("ratio", ratio)
    if not (is_finite(value) and value >= 1):
        raise InputError(f"ratio is {ratio!r}; give a finite number, at least 1")
    _check(drafts)
    rest = 1 - 1 / value
    return rest - _power(rest, drafts)


def batch_improvement_bernoulli(draft: Number, target: Number, drafts: int | float) -> Any:
    """Return the improvement for D = Ber(`draft`) and T = Ber(`target`).

    ``|u - v| (1 - u^(M-1))`` with u the draft's and v the target's probability when u >= v; for u < v the
    other token is over-drafted and u is replaced by 1 - u.

    Parameters
    ----------
    draft, target
        Success probabilities.
    drafts
        M, a whole number of at least 1, or ``math.inf`` for the limit: ``|u - v|`` unless the draft never
        proposes one of the tokens, in which case nothing is gained.

    Raises
    ------
    InputError
        A probability outside [0, 1] or fewer than one draft.

    Notes
    -----
    2411.00841, section 3.3, second example, and figure 3 (right, upper panel). The legend Ber(0.3) there
    belongs to Ber(0.4) or Ber(0.6).

    Examples
    --------
    >>> from fractions import Fraction
    >>> from specsim import theory
    >>> theory.batch_improvement_bernoulli(Fraction(1, 4), Fraction(1, 2), 2)
    Fraction(1, 16)
    """
    u, v = probability("draft", draft), probability("target", target)
    _check(drafts)
    over_drafted = u if u >= v else 1 - u
    return abs(u - v) * (1 - _power(over_drafted, drafts - 1))


def _law(name: str, row: Sequence[Number]) -> list[Any]:
    values = [probability(f"{name}[{index}]", value) for index, value in enumerate(row)]
    total = sum(values)
    if abs(total - 1) > (0 if isinstance(total, Fraction) else 1e-9):
        raise InputError(f"{name} sums to {total}, not 1; divide the row by its sum")
    return values


def _power(base: Any, exponent: int | float) -> Any:
    if base in (0, 1):
        return base if exponent else base * 0 + 1
    if exponent == math.inf:
        return base * 0
    if isinstance(base, Fraction):
        bits = exponent * max(base.numerator.bit_length(), base.denominator.bit_length())
        if bits > _MOST_BITS:
            raise TooLargeError(
                f"drafts is {exponent}, for which the exact number has {bits} bits, more than {_MOST_BITS}; "
                "give floats, fewer drafts, or inf for the limit"
            )
        return base ** int(exponent)
    return base ** float(min(exponent, 2**1000))


def _check(drafts: int | float) -> None:
    if drafts == math.inf:
        return
    if isinstance(drafts, bool) or not isinstance(drafts, int | np.integer) or drafts < 1:
        raise InputError(f"drafts is {drafts!r}; give a whole number of at least 1, or inf for the limit")


def _exact(field: str, value: Number) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction | np.integer | np.floating):
        raise InputError(f"{field} is {value!r}; give an int, a float or a Fraction")
    return Fraction(int(value)) if isinstance(value, int | np.integer) else value


def probability(field: str, value: Number) -> Any:
    """Return a probability in the numbers it was given in, whole ones as Fractions.

    InputError: it is not a number from 0 to 1.
    """
    number = _exact(field, value)
    if not (is_finite(number) and 0 <= number <= 1):
        raise InputError(f"{field} is {value}; give a probability from 0 to 1")
    return number


def is_finite(number: Any) -> bool:
    """Say whether a number is finite; Fractions of any size are."""
    return isinstance(number, int | Fraction) or bool(math.isfinite(number))
