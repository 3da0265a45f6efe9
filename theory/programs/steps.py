"""What programs are made of: draws, coins and rows."""

from collections.abc import Collection, Generator, Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

Row: TypeAlias = list[Fraction]
#: Rows by node.
Rows: TypeAlias = Sequence[Row] | Mapping[int, Row]
#: Tokens by node.
Tokens: TypeAlias = Sequence[int] | Mapping[int, int]
#: Values with their probabilities.
Law: TypeAlias = list[tuple[Any, Fraction]]
#: Yields laws, is sent what was drawn, returns the node of the stop and the final token or None.
Program: TypeAlias = Generator[Law, Any, tuple[int, int | None]]
#: The same for a rule that keeps something, which it returns as well and is given in the next round.
KeepingProgram: TypeAlias = Generator[Law, Any, tuple[int, int | None, tuple[Fraction, ...]]]


ZERO, ONE = Fraction(0), Fraction(1)


def draw(row: Row) -> Law:
    """Return the law of a token drawn from `row`."""
    return list(enumerate(row))


def coin(probability: Fraction) -> Law:
    """Return the law of a coin that shows True with `probability`."""
    return [(True, probability), (False, 1 - probability)]


def positive_part(row: Row, subtracted: Row) -> Row:
    """Return (row - subtracted)_+."""
    return [max(t - d, ZERO) for t, d in zip(row, subtracted, strict=True)]


def normalised(weights: Row) -> Row:
    """Return the weights divided by their sum, which must never be needed where it is 0."""
    total = sum(weights)
    if total == 0:
        raise AssertionError("an empty row was drawn from with positive probability")
    return [weight / total for weight in weights]


def without(row: Row, tried: Collection[int]) -> Row:
    """Return the row without the tried tokens, normalised; uniform over the others if it has no more mass."""
    left = [ZERO if y in tried else weight for y, weight in enumerate(row)]
    if not any(left):
        left = [Fraction(y not in tried) for y in range(len(row))]
    return normalised(left)
