"""Coins of which only an interval is known: a comparison forks the run and splits the interval."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flint import fmpq

from specsim.errors import InputError, UnsupportedError

#: Most rounds of ``while`` in one run.
MOST_LOOPS = 100_000

#: What a coin may meet: numbers of the rows, and whole numbers.
_NUMBERS = (fmpq, int)


class TextError(InputError):
    """What a text does wrong, or what cannot be followed; the location is added by `KernelText`."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy

    def at(self, place: str) -> TextError:
        """Return the same error with its location in front."""
        return type(self)(f"{place}: {self.what}", self.remedy)


class CannotEnumerate(TextError, UnsupportedError):
    """The text is beyond enumeration; it may be right all the same."""


class Forks:
    """One run of a text at a time: answers questions about coins, and remembers where else to go."""

    def __init__(self) -> None:
        self._answers: list[bool] = []
        self.start()

    def start(self) -> None:
        """Begin a run: nothing is known of any coin."""
        self._asked = 0
        self._loops = 0
        self._intervals: dict[int, tuple[Any, Any]] = {}

    def below(self, index: int, bound: Any) -> bool:
        """Answer whether coin `index` is below `bound`; both answers are followed where both are possible."""
        low, high = self._intervals.get(index, (0, 1))
        if bound <= low:
            return False
        if bound >= high:
            return True
        if self._asked == len(self._answers):
            self._answers.append(True)
        answer = self._answers[self._asked]
        self._asked += 1
        self._intervals[index] = (low, bound) if answer else (bound, high)
        return answer

    def tick(self) -> None:
        """Count one round of a ``while``."""
        self._loops += 1
        if self._loops > MOST_LOOPS:
            raise CannotEnumerate(
                f"loops more than {MOST_LOOPS} times",
                "use a loop whose end does not depend on chance, such as for ... in range(...)",
            )

    @property
    def probability(self) -> Any:
        """The probability of the answers of this run."""
        product = fmpq(1)
        for low, high in self._intervals.values():
            product *= high - low
        return product

    def advance(self) -> bool:
        """Turn to the next run; False when there is none."""
        del self._answers[self._asked :]
        while self._answers and not self._answers[-1]:
            self._answers.pop()
        if not self._answers:
            return False
        self._answers[-1] = False
        return True


def every_run(forks: Forks, run: Callable[[], Any]) -> Iterator[tuple[Any, Any]]:
    """Yield ``(result, probability)`` of every way in which a run can go; they sum to 1."""
    while True:
        forks.start()
        result = run()
        yield result, forks.probability
        if not forks.advance():
            return


class Coin:
    """``scale * U + shift`` of a coin U, uniform on [0, 1)."""

    __slots__ = ("forks", "index", "scale", "shift")

    def __init__(self, forks: Forks, index: int, scale: Any = 1, shift: Any = 0) -> None:
        self.forks = forks
        self.index = index
        self.scale = scale
        self.shift = shift

    def another(self) -> Coin:
        """Return the second coin of the same node, which is independent of the first."""
        return Coin(self.forks, -1 - self.index)

    def _like(self, scale: Any, shift: Any) -> Coin:
        return Coin(self.forks, self.index, scale, shift)

    def __add__(self, other: Any) -> Coin:
        if isinstance(other, _NUMBERS):
            return self._like(self.scale, self.shift + other)
        return self._like(self.scale + self._same(other).scale, self.shift + other.shift)

    __radd__ = __add__

    def __neg__(self) -> Coin:
        return self._like(-self.scale, -self.shift)

    def __sub__(self, other: Any) -> Coin:
        return self + -other

    def __rsub__(self, other: Any) -> Coin:
        return -self + other

    def __mul__(self, other: Any) -> Coin:
        if not isinstance(other, _NUMBERS):
            raise CannotEnumerate("multiplies two coins", "multiply a coin by numbers of the rows only")
        return self._like(self.scale * other, self.shift * other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Coin:
        if not isinstance(other, _NUMBERS):
            raise CannotEnumerate("divides by a coin", "divide a coin by numbers of the rows only")
        return self * (fmpq(1) / other)

    def _same(self, other: Any) -> Coin:
        if isinstance(other, Coin) and other.index == self.index:
            return other
        what = "compares or adds two coins" if isinstance(other, Coin) else f"compares a coin with {other!r}"
        raise CannotEnumerate(what, "compare a coin with numbers of the rows only")

    def _less(self, other: Any) -> bool:
        if not isinstance(other, _NUMBERS):
            return (self - self._same(other))._less(0)
        if self.scale == 0:
            return bool(self.shift < other)
        bound = (fmpq(1) * other - self.shift) / self.scale
        below = self.forks.below(self.index, bound)
        return below if self.scale > 0 else not below

    # The coin is continuous: < and <= differ with probability 0.
    def __lt__(self, other: Any) -> bool:
        return self._less(other)

    def __le__(self, other: Any) -> bool:
        return self._less(other) if self.scale else not (-self)._less(-other)

    def __gt__(self, other: Any) -> bool:
        return not self <= other

    def __ge__(self, other: Any) -> bool:
        return not self < other

    def __eq__(self, other: object) -> bool:
        return self.scale == 0 and self.shift == other

    __hash__ = None  # type: ignore[assignment]

    def _refuse(self, *arguments: Any) -> Any:
        raise CannotEnumerate(
            "turns a coin into another number than a multiple of it",
            "compare the coin with cumulated probabilities instead",
        )

    __int__ = __float__ = __index__ = __bool__ = __trunc__ = __floor__ = __ceil__ = __round__ = _refuse
    __pow__ = __rpow__ = __mod__ = __rmod__ = __floordiv__ = __rfloordiv__ = __abs__ = _refuse

    def __rtruediv__(self, other: Any) -> Any:
        raise CannotEnumerate("divides by a coin", "divide a coin by numbers of the rows only")
