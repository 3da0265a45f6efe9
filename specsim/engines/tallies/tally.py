"""Integer tallies of many runs, and the state of the runs of one chunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from specsim.engines.compiled.sizes import BLOCK, ROOM
from specsim.errors import TooLargeError
from specsim.pairs import ModelPair

Counts = NDArray[np.int64]
#: How much is tallied: everything, or only rejections and tokens (and outcomes on request).
Tallies = Literal["all", "rejections"]

_AUTOMATIC_TRANSITIONS = 2**20
_AUTOMATIC_OUTCOMES = 2**12
_MOST_OUTCOMES = 2**24


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What is tallied, and the sizes of it.

    Attributes
    ----------
    horizon, contexts, tokens
        Of the pair.
    transitions
        Whether tokens are counted per context.
    outcomes
        Whether whole outcomes are counted.
    rounds
        Whether target calls and accepted lengths are counted.
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

        Raises
        ------
        TooLargeError
            Outcomes were asked for and there are too many of them.
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
    def bytes(self) -> int:
        """Size of one `Tally`."""
        outcomes = self.outcome_shape[0] * self.outcome_shape[1]
        return 8 * (self.horizon * self.token_shape[1] + 6 * (self.horizon + 1) + outcomes)


class Tally:
    """Counts over the runs seen by one worker; attributes are named as in `tallies.variables`."""

    def __init__(self, shape: Shape) -> None:
        length = shape.horizon + 1
        self.shape = shape
        self.rejections_by_step: Counts = np.zeros(shape.horizon, np.int64)
        self.rejection_count: Counts = np.zeros(length, np.int64)
        self.target_call_count: Counts = np.zeros(length, np.int64)
        self.accepted_length_count: Counts = np.zeros(length, np.int64)
        self.accepted_length_square_sum: Counts = np.zeros(length, np.int64)
        self.first_accepted_length_count: Counts = np.zeros(length, np.int64)
        self.tokens: Counts = np.zeros(shape.token_shape, np.int64)
        self.outcomes: Counts = np.zeros(shape.outcome_shape, np.int64)

    def finish(self, state: State) -> None:
        """Count what is known of runs only at their end."""
        length = self.shape.horizon + 1
        self.rejection_count += np.bincount(state.rejections, minlength=length)
        if self.shape.rounds:
            self.target_call_count += np.bincount(state.calls, minlength=length)
        if self.shape.outcomes:
            sets = np.uint64(self.outcomes.shape[1])
            outcome = (state.path * sets + state.rejected).astype(np.int64)
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
        self,
        first: int,
        size: int,
        horizon: int,
        outcomes: bool,
        rounds: bool = True,
        lengths: NDArray[np.uint32] | None = None,
    ) -> None:
        self.first = first
        self.size = size
        self.context = np.zeros(size, np.uint32)
        # With room behind it, because kernels read whole registers.
        self.accepted = np.zeros(size + ROOM, np.uint32)[:size]
        self.calls = np.zeros(size if rounds else 0, np.uint32)
        self.first_length = np.zeros(size if rounds else 0, np.uint32)
        self.rejections = np.zeros(size, np.uint32)
        blocks = -(-size // BLOCK) if rounds else 0
        self.lengths = np.zeros((blocks, horizon + 1, BLOCK), np.uint32) if lengths is None else lengths
        self.path = np.zeros(size if outcomes else 0, np.uint64)
        self.rejected = np.zeros(size if outcomes else 0, np.uint64)
