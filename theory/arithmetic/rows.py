"""Single rows of probabilities as users give them: validated, as float64 or as exact rationals."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.errors import InputError

#: How far the sum of a float row may be from 1.
TOLERANCE = 1e-9

Number = float | Fraction
Row = Sequence[Any] | NDArray[Any]


def read_values(field: str, values: Row, *, exact: bool) -> list[Any]:
    """Read finite numbers in [0, 1], one per token, as floats or as the exact rationals they are.

    InputError: not a flat sequence of numbers in [0, 1].
    """
    items = values.tolist() if isinstance(values, np.ndarray) else values
    if isinstance(items, str) or not isinstance(items, Sequence) or len(items) == 0:
        raise InputError(f"{field} is {values!r}; give a flat sequence of at least one number")
    return [_value(f"{field}[{i}]", item, exact) for i, item in enumerate(items)]


def read_row(field: str, values: Row, *, exact: bool) -> list[Any]:
    """Read a law over tokens; it must sum to 1 (exactly if `exact`, else within `TOLERANCE`).

    InputError: not a flat sequence of probabilities with that sum.
    """
    row = read_values(field, values, exact=exact)
    total = sum(row) if exact else math.fsum(row)
    if exact and total != 1:
        raise InputError(
            f"{field} sums to {float(total)!r} but not to exactly 1; with exact=True give Fractions that do"
        )
    if abs(total - 1) > TOLERANCE:
        raise InputError(f"{field} sums to {float(total):.12g}, not 1; divide the row by its sum")
    return row


def read_number(field: str, value: Any, *, exact: bool, most: float = math.inf) -> Number:
    """Read one number between 0 and `most`.

    InputError: not a finite number in that range.
    """
    return _value(field, value, exact, most)


def same_length(**rows: Sequence[Any]) -> int:
    """Return the common length of the rows, which are named for the message.

    InputError: the lengths differ.
    """
    lengths = {name: len(row) for name, row in rows.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise InputError(f"rows differ in length ({listed}); give one entry per token in each")
    return next(iter(lengths.values()))


def as_array(values: Sequence[Number], *, exact: bool) -> NDArray[Any]:
    """Return a float64 array, or an object array of `fractions.Fraction`."""
    if not exact:
        return np.array(values, dtype=np.float64)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _value(field: str, item: Any, exact: bool, most: float = 1) -> Number:
    if isinstance(item, np.generic):
        item = item.item()
    if isinstance(item, bool) or not isinstance(item, int | float | Fraction):
        raise InputError(f"{field} is {item!r}; give a number (int, float or Fraction)")
    if isinstance(item, int | Fraction) and Fraction(item) > int(1e300):
        raise InputError(f"{field} is above 1e300; give a smaller number")
    if not math.isfinite(item):
        raise InputError(f"{field} is {item}; give a finite number")
    if item < 0 or item > most:
        limits = "at least 0" if most == math.inf else f"in [0, {most}]"
        raise InputError(f"{field} is {item}; give a number {limits}")
    return Fraction(item) if exact else float(item)
