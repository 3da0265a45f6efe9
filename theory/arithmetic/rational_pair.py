"""`RationalPair`: a draft and a target whose rows are arbitrary rationals."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Rational
from typing import Any

import numpy as np

from specsim.errors import InputError
from specsim.grammar import parse_pair
from specsim.pairs import UNIT, ModelPair
from specsim.support.checks import whole

_Rows = tuple[tuple[tuple[Fraction, ...], ...], ...]


@dataclass(frozen=True, kw_only=True)
class RationalPair:
    """A pair for exact work whose probabilities need not be multiples of 2^-32, such as thirds.

    Engines cannot sample it; the exact linear programmes and identities of `specsim.theory` accept it where
    they say so. The fields mean what they mean in `specsim.pairs.ModelPair`.

    Parameters
    ----------
    target, draft
        Next-token rows, nested sequences of `int` or `fractions.Fraction` indexed ``[step][context][token]``;
        one step for a stationary pair. Rows sum to exactly 1.
    next_context
        The context after emitting a token, indexed ``[context][token]``.
    initial
        Law of the first context.
    horizon
        Number of tokens to emit.

    Raises
    ------
    InputError
        A shape, entry or sum is wrong.

    Examples
    --------
    >>> from fractions import Fraction
    >>> from specsim import Speculative, theory
    >>> third = Fraction(1, 3)
    >>> pair = theory.RationalPair.independent([third, 2 * third], [2 * third, third], horizon=3)
    >>> theory.expected_rejections(pair, Speculative(), exact=True)
    Fraction(1, 1)
    """

    target: _Rows
    draft: _Rows
    next_context: tuple[tuple[int, ...], ...]
    initial: tuple[Fraction, ...]
    horizon: int

    def __post_init__(self) -> None:
        target = _table("target", self.target)
        draft = _table("draft", self.draft)
        shape = (len(target), len(target[0]), len(target[0][0]))
        if (len(draft), len(draft[0]), len(draft[0][0])) != shape:
            raise InputError(f"draft and target differ in shape (target {shape}); give equal shapes")
        steps, contexts, tokens = shape
        initial = _row("initial", self.initial)
        if len(initial) != contexts:
            raise InputError(f"initial has length {len(initial)}; give one per context: {contexts}")
        following = tuple(tuple(int(c) for c in row) for row in self.next_context)
        if len(following) != contexts or any(len(row) != tokens for row in following):
            raise InputError(f"next_context has the wrong shape; give ({contexts}, {tokens})")
        if any(not 0 <= c < contexts for row in following for c in row):
            raise InputError(
                f"next_context has an entry out of range; give contexts from 0 to {contexts - 1}"
            )
        whole("horizon", self.horizon, 1)
        if steps != 1 and self.horizon > steps:
            raise InputError(
                f"horizon is {self.horizon} but there are rows for {steps} steps; give at most {steps}"
            )
        for key, value in (
            ("target", target),
            ("draft", draft),
            ("initial", initial),
            ("next_context", following),
        ):
            object.__setattr__(self, key, value)

    @classmethod
    def independent(
        cls, target_row: Sequence[Any], draft_row: Sequence[Any], *, horizon: int
    ) -> RationalPair:
        """Return the pair with the same two rows in every step, whatever came before.

        Parameters
        ----------
        target_row, draft_row
            Probabilities as `int` or `fractions.Fraction`, one per token.
        horizon
            Number of tokens to emit.
        """
        return cls(
            target=((tuple(target_row),),),
            draft=((tuple(draft_row),),),
            next_context=((0,) * len(target_row),),
            initial=(Fraction(1),),
            horizon=horizon,
        )

    @classmethod
    def from_pair(cls, pair: ModelPair, *, horizon: int | None = None) -> RationalPair:
        """Return the exact rationals of a `ModelPair`, cut to `horizon` (defaults to the pair's own)."""
        length = pair.check_horizon(horizon)
        keep = 1 if pair.stationary else length

        def rows(weights: np.ndarray) -> _Rows:
            return tuple(
                tuple(tuple(Fraction(w, UNIT) for w in row) for row in table)
                for table in weights[:keep].tolist()
            )

        return cls(
            target=rows(pair.target_weights),
            draft=rows(pair.draft_weights),
            next_context=tuple(tuple(row) for row in pair.next_context.tolist()),
            initial=tuple(Fraction(w, UNIT) for w in pair.initial_weights.tolist()),
            horizon=length,
        )

    @property
    def contexts(self) -> int:
        """Number of contexts."""
        return len(self.initial)

    @property
    def tokens(self) -> int:
        """Size of the vocabulary."""
        return len(self.next_context[0])

    @property
    def identity(self) -> str:
        """SHA-256, in hexadecimal, of everything that defines the two laws and the horizon."""
        text = repr(
            (
                "specsim-rational-pair-1",
                self.horizon,
                self.next_context,
                [str(value) for value in self.initial],
                [
                    [[[str(v) for v in row] for row in step] for step in rows]
                    for rows in (self.target, self.draft)
                ],
            )
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def target_row(self, step: int, context: int) -> tuple[Fraction, ...]:
        """Return the target's law of the token at `step` (counted from 0) in `context`."""
        return self.target[0 if len(self.target) == 1 else step][context]

    def draft_row(self, step: int, context: int) -> tuple[Fraction, ...]:
        """Return the draft's law of the token at `step` (counted from 0) in `context`."""
        return self.draft[0 if len(self.draft) == 1 else step][context]


def as_rational(pair: ModelPair | RationalPair, horizon: int | None = None) -> RationalPair:
    """Return `pair` with exact rows and the horizon asked for (defaults to the pair's own)."""
    if isinstance(pair, str):
        pair = parse_pair(pair)
    if isinstance(pair, ModelPair):
        return RationalPair.from_pair(pair, horizon=horizon)
    if not isinstance(pair, RationalPair):
        raise InputError(f"pair is a {type(pair).__name__}; give a ModelPair or a RationalPair")
    if horizon is None or horizon == pair.horizon:
        return pair
    return RationalPair(
        target=pair.target,
        draft=pair.draft,
        next_context=pair.next_context,
        initial=pair.initial,
        horizon=horizon,
    )


def _row(field: str, values: Sequence[Any]) -> tuple[Fraction, ...]:
    if len(values) == 0:
        raise InputError(f"{field} is empty; give at least one probability")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, Rational):
            raise InputError(f"{field} has the entry {value!r}; give int or Fraction, exact numbers only")
        if value < 0:
            raise InputError(f"{field} has the entry {value}; probabilities must not be negative")
    row = tuple(Fraction(value) for value in values)
    if sum(row) != 1:
        raise InputError(f"{field} sums to {sum(row)}; exact rows must sum to 1, divide by the sum")
    return row


def _table(field: str, values: Sequence[Any]) -> _Rows:
    table = tuple(
        tuple(_row(f"{field}[{n}, {c}]", row) for c, row in enumerate(rows)) for n, rows in enumerate(values)
    )
    if (
        not table
        or not table[0]
        or any(
            len(rows) != len(table[0]) or any(len(row) != len(table[0][0]) for row in rows) for rows in table
        )
    ):
        raise InputError(f"{field} is empty or ragged; give rows indexed [step][context][token]")
    return table
