"""Integer tallies of many runs, and the state of the runs of one chunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from specsim.engines.compiled.sizes import BLOCK, ROOM
from specsim.errors import TooLargeError
from specsim.pairs import ModelPair
from specsim.support.arrays import Integers

Words = NDArray[np.uint32]
#: How much is tallied: everything, or only rejections and tokens (and outcomes on request).
Tallies = Literal["all", "rejections"]

_AUTOMATIC_TRANSITIONS = 2**20
_AUTOMATIC_OUTCOMES = 2**12
_MOST_OUTCOMES = 2**24
_MOST_ROUND_COUNTS = 2**20


class Work(NamedTuple):
    """Which runs and positions a kernel does.

    `seed` and `first_run` name the random words; positions ``begin .. end - 1`` are counted from 0.
    """

    seed: Any
    first_run: Any
    runs: Any
    begin: Any
    end: Any
    horizon: Any


class Runs(NamedTuple):
    """State of runs between positions; uint32, one number per run where nothing else is said.

    context, accepted, rejections: context, accepted drafted tokens of the present round, rejections so far.
    calls, first_length: rounds that have ended, and the accepted length of the first one; empty unless rounds
        are counted.
    lengths: rounds of each run by accepted length, shape ``(blocks, horizon + 1, BLOCK)``.
    path, rejected: emitted sequence and set of rejected positions, uint64; empty unless outcomes are counted.
    """

    context: Words
    accepted: Words
    rejections: Words
    calls: Words
    first_length: Words
    lengths: Words
    path: NDArray[np.uint64]
    rejected: NDArray[np.uint64]


class Counts(NamedTuple):
    """The arrays of a `Tally` to which kernels add."""

    tokens: Integers
    rejections_by_step: Integers
    lengths: Integers
    length_squares: Integers
    first_lengths: Integers
    rounds: Integers


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What is tallied, and the sizes of it.

    horizon, contexts, tokens: of the pair.
    transitions: whether tokens are counted per context.
    outcomes: whether whole outcomes are counted.
    rounds: whether target calls and accepted lengths are counted.
    """

    horizon: int
    contexts: int
    tokens: int
    transitions: bool
    outcomes: bool
    rounds: bool = True

    @classmethod
    def of(cls, pair: ModelPair, horizon: int, outcomes: bool | None, tallies: Tallies = "all") -> Shape:
        """Choose what is tallied; ``outcomes=None`` keeps whole outcomes where there are few.

        With ``tallies="rejections"`` only rejections and tokens are counted, and outcomes on request.

        TooLargeError: outcomes were asked for and there are too many of them.
        """
        # Beyond a horizon of 24 there are more outcomes than the limit even with one token.
        count = (2 * pair.tokens) ** horizon if horizon <= 24 else _MOST_OUTCOMES + 1
        if outcomes and count > _MOST_OUTCOMES:
            raise TooLargeError(
                f"outcomes is True, but {pair.tokens} tokens over horizon {horizon} have more than "
                f"{_MOST_OUTCOMES} outcomes; use outcomes=False or a shorter horizon"
            )
        whole = tallies == "all"
        return cls(
            horizon=horizon,
            contexts=pair.contexts,
            tokens=pair.tokens,
            transitions=whole and horizon * pair.contexts * pair.tokens <= _AUTOMATIC_TRANSITIONS,
            outcomes=whole and count <= _AUTOMATIC_OUTCOMES if outcomes is None else outcomes,
            rounds=whole,
        )

    @property
    def token_shape(self) -> tuple[int, int]:
        """Shape of the token counts: per step, the contexts (if kept) times the tokens."""
        return self.horizon, self.tokens * (self.contexts if self.transitions else 1)

    @property
    def outcome_shape(self) -> tuple[int, int]:
        """Number of paths and of sets of rejected positions; (0, 0) when not kept."""
        return (self.tokens**self.horizon, 2**self.horizon) if self.outcomes else (0, 0)

    @property
    def round_shape(self) -> tuple[int, int]:
        """Shape of the counts of rounds by first position and accepted length; (0, 0) when not kept."""
        size = (self.horizon, self.horizon + 1)
        return size if self.rounds and size[0] * size[1] <= _MOST_ROUND_COUNTS else (0, 0)

    @property
    def bytes(self) -> int:
        """Size of one `Tally`."""
        tables = (self.token_shape, self.outcome_shape, self.round_shape)
        return 8 * (sum(rows * columns for rows, columns in tables) + 6 * (self.horizon + 1))


class Tally:
    """Counts over the runs seen by one worker; attributes are named as in `tallies.variables`."""

    def __init__(self, shape: Shape) -> None:
        length = shape.horizon + 1
        self.shape = shape
        self.rejections_by_step: Integers = np.zeros(shape.horizon, np.int64)
        self.rejection_count: Integers = np.zeros(length, np.int64)
        self.target_call_count: Integers = np.zeros(length, np.int64)
        self.accepted_length_count: Integers = np.zeros(length, np.int64)
        self.accepted_length_square_sum: Integers = np.zeros(length, np.int64)
        self.first_accepted_length_count: Integers = np.zeros(length, np.int64)
        self.tokens: Integers = np.zeros(shape.token_shape, np.int64)
        self.outcomes: Integers = np.zeros(shape.outcome_shape, np.int64)
        self.round_count: Integers = np.zeros(shape.round_shape, np.int64)

    @property
    def counts(self) -> Counts:
        """Return what kernels add to."""
        return Counts(
            self.tokens,
            self.rejections_by_step,
            self.accepted_length_count,
            self.accepted_length_square_sum,
            self.first_accepted_length_count,
            self.round_count,
        )

    def finish(self, state: State) -> None:
        """Count what is known of runs only at their end."""
        length = self.shape.horizon + 1
        self.rejection_count += np.bincount(state.runs.rejections, minlength=length)
        if self.shape.rounds:
            self.target_call_count += np.bincount(state.runs.calls, minlength=length)
        if self.shape.outcomes:
            sets = np.uint64(self.outcomes.shape[1])
            outcome = (state.runs.path * sets + state.runs.rejected).astype(np.int64)
            self.outcomes += np.bincount(outcome, minlength=self.outcomes.size).reshape(self.outcomes.shape)

    def add(self, other: Tally) -> None:
        """Add the counts of `other`."""
        for name, counts in vars(self).items():
            if name != "shape":
                counts += getattr(other, name)


class State:
    """State of the runs ``first .. first + size - 1`` between positions.

    `lengths`, the rounds of each run by accepted length in blocks of `BLOCK` runs, may be given: zeros, which
    the kernels leave behind as zeros.
    """

    def __init__(
        self, first: int, size: int, shape: Shape, lengths: NDArray[np.uint32] | None = None
    ) -> None:
        self.first = first
        self.size = size
        rounds, outcomes = shape.rounds, shape.outcomes
        blocks = -(-size // BLOCK) if rounds else 0
        self.runs = Runs(
            context=np.zeros(size, np.uint32),
            # With room after it, because kernels read whole registers.
            accepted=np.zeros(size + ROOM, np.uint32)[:size],
            rejections=np.zeros(size, np.uint32),
            calls=np.zeros(size if rounds else 0, np.uint32),
            first_length=np.zeros(size if rounds else 0, np.uint32),
            lengths=np.zeros((blocks, shape.horizon + 1, BLOCK), np.uint32) if lengths is None else lengths,
            path=np.zeros(size if outcomes else 0, np.uint64),
            rejected=np.zeros(size if outcomes else 0, np.uint64),
        )
