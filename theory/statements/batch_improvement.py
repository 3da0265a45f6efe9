"""The gain of a batch at one root position, and the closed forms of the paper's two examples.

All functions compute in the numbers they are given: Fractions and whole numbers give Fractions, floats give
floats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from specsim.errors import InputError

Number = int | float | Fraction


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
        Rows of unequal length, entries outside [0, 1], or fewer than one draft.

    Notes
    -----
    2411.00841, section 3.3: one term of the batch improvement of Theorem 3. For M -> infinity, B_M tends to
    the target mass outside the draft's support, not to 0.
    """
    if len(target) != len(draft):
        raise InputError(f"target has {len(target)} entries and draft {len(draft)}; give rows of one length")
    rows = [
        [_probability(f"{name} entry", value) for value in row]
        for name, row in (("target", target), ("draft", draft))
    ]
    _check(drafts)
    row, other = rows
    first = sum(max(t - d, 0) for t, d in zip(row, other, strict=True))
    if drafts == math.inf:
        return first - sum(t for t, d in zip(row, other, strict=True) if d == 0)
    mass: Any = 1
    for _ in range(int(drafts)):
        excess = [max(t - d, 0) for t, d in zip(row, other, strict=True)]
        step = sum(excess)
        mass = mass * step
        if step == 0:
            break
        row = [value / step for value in excess]
    return first - mass


def batch_improvement_uniform(ratio: Number, drafts: int | float) -> Any:
    """Return the improvement for D uniform on V and T uniform on a subset of |V| / `ratio` tokens.

    ``(1 - 1/ratio) - (1 - 1/ratio)^M``.

    Parameters
    ----------
    ratio
        |V| / |V'|, at least 1.
    drafts
        M, a whole number of at least 1, or ``math.inf`` for the limit 1 - 1/ratio.

    Raises
    ------
    InputError
        `ratio` below 1 or fewer than one draft.

    Notes
    -----
    2411.00841, section 3.3, first example, and figure 3 (right, lower panel).
    """
    value = _exact(ratio)
    if not (math.isfinite(value) and value >= 1):
        raise InputError(f"ratio is {ratio}; give a finite number, at least 1")
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
        M, a whole number of at least 1, or ``math.inf`` for the limit: |u - v| unless the draft never
        proposes one of the tokens, in which case nothing is gained.

    Raises
    ------
    InputError
        A probability outside [0, 1] or fewer than one draft.

    Notes
    -----
    2411.00841, section 3.3, second example, and figure 3 (right, upper panel). The legend Ber(0.3) there
    belongs to Ber(0.4) or Ber(0.6).
    """
    u, v = _probability("draft", draft), _probability("target", target)
    _check(drafts)
    over_drafted = u if u >= v else 1 - u
    return abs(u - v) * (1 - _power(over_drafted, drafts - 1))


def _power(base: Any, exponent: int | float) -> Any:
    if exponent == math.inf:
        return base * 0 + (1 if base == 1 else 0)
    return base ** int(exponent)


def _check(drafts: int | float) -> None:
    if drafts == math.inf:
        return
    if isinstance(drafts, bool) or not isinstance(drafts, int) or drafts < 1:
        raise InputError(f"drafts is {drafts!r}; give a whole number of at least 1, or inf for the limit")


def _exact(value: Number) -> Any:
    return Fraction(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _probability(field: str, value: Number) -> Any:
    number = _exact(value)
    if not (math.isfinite(number) and 0 <= number <= 1):
        raise InputError(f"{field} is {value}; give a probability from 0 to 1")
    return number
