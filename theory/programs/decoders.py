"""The published algorithms written out, one round at a time, for exhaustive enumeration.

A round is a generator: it yields a finite law (a list of ``(value, probability)``), is sent the value that
was drawn, and returns a `Round`. Nothing that a theorem says is used here: a drafted token meets its own
coin, a residual is a normalised row, a batch walks its candidates one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from functools import singledispatch
from typing import Any, NamedTuple

import numpy as np

from specsim.algorithms import (
    Algorithm,
    Autoregressive,
    Batch,
    BatchAsPrinted,
    BlockVerification,
    OverAcceptance,
    RejectionBased,
    Speculative,
)
from specsim.errors import InputError, UnsupportedError
from specsim.theory.arithmetic.pair_tables import PairTables

Row = list[Fraction]
Law = list[tuple[Any, Fraction]]


class Round(NamedTuple):
    """What one round did: the tokens it emitted, whether the last was rejected, the accepted length."""

    tokens: tuple[int, ...]
    rejected: bool
    accepted: int


Program = Generator[Law, Any, Round]


class Rows:
    """The rows of a pair as lists of rationals, with the transitions between contexts."""

    def __init__(self, pair: PairTables, horizon: int) -> None:
        self.horizon = horizon
        self.tokens = pair.tokens
        self._pair = pair
        self._next = pair.next_context.tolist()
        self._cache: dict[tuple[str, int, int], Row] = {}

    def target(self, position: int, context: int) -> Row:
        """Target row for the token at `position` (counted from 0)."""
        return self._row("target", self._pair.target_weights, position, context)

    def draft(self, position: int, context: int) -> Row:
        """Draft row for the token at `position` (counted from 0)."""
        return self._row("draft", self._pair.draft_weights, position, context)

    def after(self, context: int, token: int) -> int:
        """Context after emitting `token` in `context`."""
        return int(self._next[context][token])

    def _row(self, kind: str, weights: np.ndarray, position: int, context: int) -> Row:
        key = (kind, self._pair.step_index(position), context)
        if key not in self._cache:
            self._cache[key] = [Fraction(int(w), self._pair.unit) for w in weights[key[1], context]]
        return self._cache[key]


def explore(program: Callable[[], Program], spend: Callable[[], None]) -> Iterator[tuple[Round, Fraction]]:
    """Run `program` along every sequence of draws of positive probability.

    Parameters
    ----------
    program
        Starts a fresh run of the round.
    spend
        Called once per branch; raises when the budget is used up.
    """
    open_branches: list[tuple[tuple[Any, ...], Fraction]] = [((), Fraction(1))]
    while open_branches:
        script, probability = open_branches.pop()
        spend()
        run = program()
        try:
            law = next(run)
            for value in script:
                law = run.send(value)
        except StopIteration as stop:
            yield stop.value, probability
            continue
        for value, weight in law:
            if weight:
                open_branches.append(((*script, value), probability * weight))


def draw(row: Row) -> Law:
    """Return the law of a token drawn from `row`."""
    return list(enumerate(row))


def coin(probability: Fraction) -> Law:
    """Return the law of a coin that shows True with `probability`."""
    return [(True, probability), (False, 1 - probability)]


def normalised_excess(row: Row, draft: Row) -> Row:
    """Return norm((row - draft)_+). The residual of equal rows is empty and must never be needed."""
    excess = [max(t - d, Fraction(0)) for t, d in zip(row, draft, strict=True)]
    total = sum(excess)
    if total == 0:
        raise AssertionError("an empty residual was reached with positive probability")
    return [value / total for value in excess]


class Response:
    """A drafted continuation; its tokens are drawn from the draft rows in order, when asked for."""

    def __init__(self, rows: Rows, position: int, context: int) -> None:
        self._rows = rows
        self._position = position
        self._context = context
        self._tokens: list[int] = []

    def token(self, index: int) -> Generator[Law, Any, int]:
        """Token number `index` of the response (from 0)."""
        while len(self._tokens) <= index:
            row = self._rows.draft(self._position + len(self._tokens), self._context)
            token = yield draw(row)
            self._tokens.append(token)
            self._context = self._rows.after(self._context, token)
        return self._tokens[index]


Accept = Callable[[int, int, int], Fraction]
Recover = Callable[[int, int], Row]


def walk(
    rows: Rows,
    response: Response,
    position: int,
    context: int,
    length: int,
    accept: Accept,
    recover: Recover,
    bonus: bool,
    emitted: tuple[int, ...] = (),
) -> Program:
    """Test the tokens of `response` in turn from number ``len(emitted)`` on; stop at the first failure."""
    for index in range(len(emitted), length):
        token = yield from response.token(index)
        accepted = yield coin(accept(position + index, context, token))
        if not accepted:
            token = yield draw(recover(position + index, context))
            return Round((*emitted, token), True, index)
        emitted = (*emitted, token)
        context = rows.after(context, token)
    if bonus and position + length < rows.horizon:
        token = yield draw(rows.target(position + length, context))
        return Round((*emitted, token), False, length)
    return Round(emitted, False, length)


class Decoder:
    """One algorithm on one pair: starts the program of a round at a position and context."""

    #: Number of responses drafted per round, 0 for plain decoding.
    responses = 1

    def __init__(self, rows: Rows, algorithm: Any) -> None:
        self.rows = rows
        self.algorithm = algorithm

    def length(self, position: int) -> int:
        """Drafted tokens of a round that starts at `position`."""
        left = self.rows.horizon - position
        limit = getattr(self.algorithm, "draft_length", None)
        return left if limit is None else min(left, limit)

    @property
    def bonus(self) -> bool:
        """Whether a fully accepted draft is followed by a bonus token."""
        return getattr(self.algorithm, "draft_length", None) is not None and getattr(
            self.algorithm, "bonus", False
        )

    def accept(self, position: int, context: int, token: int) -> Fraction:
        """Probability of accepting a drafted token: min(1, target / draft)."""
        ratio = self.rows.target(position, context)[token] / self.rows.draft(position, context)[token]
        return min(Fraction(1), ratio)

    def recover(self, position: int, context: int) -> Row:
        """Law of the token written after a rejection: the normalised positive part of target - draft."""
        return normalised_excess(self.rows.target(position, context), self.rows.draft(position, context))

    def round(self, position: int, context: int, full: bool) -> Program:
        """One round. With `full` the responses are drawn to their end before anything is tested."""
        length = self.length(position)
        response = Response(self.rows, position, context)
        if full:
            yield from response.token(length - 1)
        return (
            yield from walk(
                self.rows, response, position, context, length, self.accept, self.recover, self.bonus
            )
        )


class AutoregressiveDecoder(Decoder):
    """2411.00841, Algorithm 3."""

    responses = 0

    def round(self, position: int, context: int, full: bool) -> Program:
        """One token from the target."""
        token = yield draw(self.rows.target(position, context))
        return Round((token,), False, 0)


class FamilyDecoder(Decoder):
    """2411.00841, Algorithm 2, with tables of acceptances and residuals."""

    def __init__(self, rows: Rows, algorithm: RejectionBased) -> None:
        super().__init__(rows, algorithm)
        for field in ("acceptance", "residual"):
            table = getattr(algorithm, field)
            contexts = len(rows._next)
            if table.shape[1:] != (contexts, rows.tokens) or (1 < table.shape[0] < rows.horizon):
                raise InputError(
                    f"{field} has shape {table.shape}; for this pair give (1 or {rows.horizon} steps, "
                    f"{contexts} contexts, {rows.tokens} tokens)"
                )

    def _entry(self, table: np.ndarray, position: int, context: int) -> Row:
        row = table[position if table.shape[0] > 1 else 0, context]
        return [Fraction(value) for value in row]

    def accept(self, position: int, context: int, token: int) -> Fraction:
        """Look the acceptance up."""
        return self._entry(self.algorithm.acceptance, position, context)[token]

    def recover(self, position: int, context: int) -> Row:
        """Look the residual up, divided by its sum (floats may miss 1 by rounding)."""
        row = self._entry(self.algorithm.residual, position, context)
        total = sum(row)
        return [value / total for value in row]


class OverAcceptanceDecoder(Decoder):
    """2411.00841, section 4.2: Decoding-OPT and the two readings of Decoding-UNO."""

    def accept(self, position: int, context: int, token: int) -> Fraction:
        """min(1, (target + epsilon) / draft)."""
        target = self.rows.target(position, context)[token]
        draft = self.rows.draft(position, context)[token]
        return min(Fraction(1), (target + Fraction(self.algorithm.epsilon)) / draft)

    def recover(self, position: int, context: int) -> Row:
        """Return the residual row of the chosen variant."""
        if self.algorithm.residual == "target":
            return self.rows.target(position, context)
        if self.algorithm.residual == "draft":
            return self.rows.draft(position, context)
        return super().recover(position, context)


class BatchDecoder(Decoder):
    """2411.00841, Algorithm 4, corrected: recursive rejection at the root, plain rules along one response."""

    def __init__(self, rows: Rows, algorithm: Batch | BatchAsPrinted) -> None:
        super().__init__(rows, algorithm)
        if not isinstance(algorithm.drafts, int):
            raise UnsupportedError(
                f"drafts is {algorithm.drafts}; enumeration needs a finite number of drafts, "
                "use batch_limit_rejections or a law function for the limit"
            )
        self.responses = algorithm.drafts

    def round(self, position: int, context: int, full: bool) -> Program:
        """One round from the root at `position`."""
        length = self.length(position)
        responses = [Response(self.rows, position, context) for _ in range(self.responses)]
        if full:
            for response in responses:
                yield from response.token(length - 1)
        draft = self.rows.draft(position, context)
        current = self.rows.target(position, context)
        for response in responses:
            token = yield from response.token(0)
            accepted = yield coin(min(Fraction(1), current[token] / draft[token]))
            if accepted:
                return (
                    yield from walk(
                        self.rows,
                        response,
                        position,
                        self.rows.after(context, token),
                        length,
                        self.accept,
                        self.recover,
                        self.bonus,
                        emitted=(token,),
                    )
                )
            current = normalised_excess(current, draft)
            if self.ends_at_first_failure:
                break
        token = yield draw(self.last_row(current, draft))
        return Round((token,), True, 0)

    #: Whether the first failure at the root ends the round.
    ends_at_first_failure = False

    def last_row(self, current: Row, draft: Row) -> Row:
        """Law of the token written after the root failed; `current` is the row after the last failure."""
        return current


class PrintedBatchDecoder(BatchDecoder):
    """Algorithm 4 as printed. Line 28 subtracts the draft from a row that line 19 has already updated."""

    def __init__(self, rows: Rows, algorithm: BatchAsPrinted) -> None:
        super().__init__(rows, algorithm)
        self.ends_at_first_failure = algorithm.slip == "inside-loop"

    def last_row(self, current: Row, draft: Row) -> Row:
        """Line 28."""
        return normalised_excess(current, draft)


class BlockDecoder(Decoder):
    """2403.10444: block verification."""

    def round(self, position: int, context: int, full: bool) -> Program:
        """One round; every coin is tossed, the longest passing prefix counts."""
        length = self.length(position)
        response = Response(self.rows, position, context)
        yield from response.token(length - 1)
        tokens: list[int] = []
        contexts = [context]
        ratios = [Fraction(1)]
        for index in range(length):
            token = yield from response.token(index)
            target = self.rows.target(position + index, contexts[-1])[token]
            draft = self.rows.draft(position + index, contexts[-1])[token]
            ratios.append(min(Fraction(1), ratios[-1] * target / draft))
            tokens.append(token)
            contexts.append(self.rows.after(contexts[-1], token))
        accepted = 0
        for index in range(1, length + 1):
            if index < length:
                excess = sum(self._excess(position + index, contexts[index], ratios[index]))
                below = excess + 1 - ratios[index]
                threshold = excess / below if below else Fraction(1)
            else:
                threshold = ratios[length]
            passed = yield coin(threshold)
            if passed:
                accepted = index
        kept = tuple(tokens[:accepted])
        if accepted < length:
            excess_row = self._excess(position + accepted, contexts[accepted], ratios[accepted])
            total = sum(excess_row)
            if total == 0:
                raise AssertionError("an empty residual was reached with positive probability")
            token = yield draw([value / total for value in excess_row])
            return Round((*kept, token), True, accepted)
        if self.bonus and position + length < self.rows.horizon:
            token = yield draw(self.rows.target(position + length, contexts[length]))
            return Round((*kept, token), False, length)
        return Round(kept, False, length)

    def _excess(self, position: int, context: int, ratio: Fraction) -> Row:
        target = self.rows.target(position, context)
        draft = self.rows.draft(position, context)
        return [max(ratio * t - d, Fraction(0)) for t, d in zip(target, draft, strict=True)]


@singledispatch
def literal_decoder(algorithm: Algorithm, rows: Rows) -> Decoder:
    """Return the published algorithm of a descriptor, ready to run on `rows`.

    Raises
    ------
    UnsupportedError
        No literal program is registered for the descriptor.
    """
    raise UnsupportedError(
        f"algorithm is {type(algorithm).__name__}; enumeration knows no literal program for it, "
        "register one with specsim.theory.programs.decoders.literal_decoder"
    )


@literal_decoder.register
def _(algorithm: Autoregressive, rows: Rows) -> Decoder:
    return AutoregressiveDecoder(rows, algorithm)


@literal_decoder.register
def _(algorithm: Speculative, rows: Rows) -> Decoder:
    return Decoder(rows, algorithm)


@literal_decoder.register
def _(algorithm: RejectionBased, rows: Rows) -> Decoder:
    return FamilyDecoder(rows, algorithm)


@literal_decoder.register
def _(algorithm: OverAcceptance, rows: Rows) -> Decoder:
    return OverAcceptanceDecoder(rows, algorithm)


@literal_decoder.register
def _(algorithm: Batch, rows: Rows) -> Decoder:
    return BatchDecoder(rows, algorithm)


@literal_decoder.register
def _(algorithm: BatchAsPrinted, rows: Rows) -> Decoder:
    return PrintedBatchDecoder(rows, algorithm)


@literal_decoder.register
def _(algorithm: BlockVerification, rows: Rows) -> Decoder:
    return BlockDecoder(rows, algorithm)
