"""Checks of arguments that say what is wrong in one line: field, value, remedy."""

import difflib
import operator
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TypeVar

import numpy as np

from specsim.errors import InputError

Value = TypeVar("Value")


def whole(
    field: str,
    value: object,
    low: int,
    high: int | None = None,
    *,
    floats: bool = False,
    otherwise: str = "",
) -> int:
    """Return a whole number as an int.

    field: name of the argument.
    value: an int or an integer of NumPy; never a bool.
    low, high: smallest and largest number allowed. `high` defaults to None: no limit.
    floats: whether whole floats such as 1e5 are taken too. Defaults to False.
    otherwise: what else the argument may be, for the message, such as ``", or None for the horizon"``.
    InputError: it is something else.

    Examples
    --------
    >>> whole("runs", 1e5, 1, floats=True)
    100000
    """
    if floats and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, bool | np.bool_):
        with suppress(TypeError):
            number = operator.index(value)  # type: ignore[arg-type]
            if low <= number and (high is None or number <= high):
                return number
    limits = f"of at least {low}" if high is None else f"from {low} to {high}"
    raise InputError(f"{field} is {value!r}; give a whole number {limits}{otherwise}")


def path_of(field: str, value: object) -> Path:
    """Return the path that `value` spells.

    InputError: it is neither a text nor a path.

    Examples
    --------
    >>> path_of("path", "costs.csv").name
    'costs.csv'
    """
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"{field} is {value!r}; give the path of a file")
    return Path(value)


def named(field: str, value: str | Value, table: Mapping[str, Value]) -> Value:
    """Return an entry of a table by its name; an entry itself is returned as it is.

    InputError: there is no entry of this name.

    Examples
    --------
    >>> named("base", "two", {"two": 2, "ten": 10})
    2
    """
    if isinstance(value, str) and value in table:
        return table[value]
    if isinstance(value, type(next(iter(table.values())))):
        return value
    raise InputError(f"{field} is {value!r}; give {', '.join(table)}")


def unknown(
    kind: str, name: object, known: Collection[str], *, near: Collection[str] = (), remedy: str = ""
) -> NoReturn:
    """Raise `InputError` for a name that is not known, with the nearest ones that are.

    kind: what has the name, such as ``"mutant"``.
    name: the name given.
    known: the names that exist.
    near: better suggestions than the names spelled alike. Defaults to none.
    remedy: what to do where nothing is near. Defaults to ``""``: the known names are listed.
    InputError: always.
    """
    close = list(near)[:3] or difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else remedy or f"give one of {', '.join(known)}"
    raise InputError(f"{kind} {name!r} is unknown; {hint}")
