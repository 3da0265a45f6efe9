"""Forward recursion over whole rounds, which `state_rounds` and `path_rounds` build from a rule's step law.

A round is linear in the law of its first context; `Rounds` carries that law from position to position.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm
from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import rational, scatter, zeros
from specsim.theory.arithmetic.pair_tables import PairTables
from specsim.theory.laws.counters import Counter, FullCount, Moments, NoCount
from specsim.theory.laws.rule_rows import RuleRows
from specsim.theory.laws.states import PathStates, land
from specsim.theory.laws.tally import Regime, Tally
from specsim.theory.step_laws import StepLaw

Integers = NDArray[np.integer]


class Cells(NamedTuple):
    """Numbers by first context of a round and by context, those that are not 0.

    `value` has one number ``(n,)``, or one for each token ``(n, tokens)``, for each pair of contexts.
    """

    origin: Integers
    context: Integers
    value: Array

    def move(self, mass: Array) -> Array:
        """Move mass of first contexts ``(width, contexts)`` to contexts."""
        width, contexts = mass.shape
        index = np.arange(width)[:, None] * contexts + self.context
        moved = mass[:, self.origin] * self.value
        return scatter(index.ravel(), moved.ravel(), width * contexts).reshape(width, contexts)

    def landed(self, pair: PairTables) -> Cells:
        """Return the contexts after the token, from numbers for each token."""
        index = self.origin[:, None] * pair.contexts + pair.next_context[self.context]
        return cells_of(index.ravel(), self.value.ravel(), pair.contexts)


def cells_of(index: Integers, value: Array, contexts: int) -> Cells:
    """Add numbers up by index, first context times `contexts` plus context."""
    kept = value != 0
    cell, place = ranked(index[kept])
    return Cells(cell // contexts, cell % contexts, scatter(place, value[kept], len(cell)))


def ranked(index: Integers) -> tuple[Integers, Integers]:
    """Return the different numbers in order, and the index of each number among them."""
    if not index.size:
        return index, index
    low = index.min()
    size = index.max() - low + 1
    if size > 4 * len(index):
        return np.unique(index, return_inverse=True)
    # Counting is quicker than sorting where the numbers are dense.
    used = np.zeros(size, dtype=bool)
    used[index - low] = True
    return np.flatnonzero(used) + low, np.cumsum(used)[index - low] - 1


@dataclass(frozen=True)
class Round:
    """The round that starts at one position, by its first context.

    taken, stopped: entry j: probability that the token after j accepted ones is accepted, or ends the round
        by a rejection, by context and token.
    whole: entry j: probability of the context after a path of j tokens is accepted to its leaf.
    landed: entry j: probability of the context after j accepted tokens and a rejection.
    """

    taken: list[Cells]
    stopped: list[Cells]
    whole: list[Cells]
    landed: list[Cells]


class Rounds(ABC):
    """Forward recursion over the starts of rounds.

    rows: rows and parameters.
    algorithm, step_law, horizon: what decodes, and how far.
    """

    def __init__(self, rows: RuleRows, algorithm: Algorithm, step_law: StepLaw, horizon: int) -> None:
        self.pair = rows.pair
        self.exact = rows.exact
        self.horizon = horizon
        self.structure = algorithm.structure(horizon)
        self._rows = rows
        self._law = step_law
        self._algorithm = algorithm
        self._bonus = algorithm.whole_bonus
        #: Whether all positions have the same rows.
        self.stationary = rows.stationary

    @abstractmethod
    def round(self, start: int, depth: int) -> Round:
        """Return the round that starts at a position, with a structure cut at `depth`."""

    @abstractmethod
    def sequences(self, start: int, depth: int) -> tuple[list[Array], list[Array]]:
        """Return laws of what a round emits, ``(contexts, tokens ** emitted)``, by number of tokens.

        The first list is of rounds that end by a rejection after 1, 2, ... tokens, the second of paths
        accepted to a leaf of depth 0, 1, ....
        """

    def _target(self, position: int) -> Array:
        return self._rows.at(np.array([position]))[0][0]

    def run(
        self, count: str = "", *, depths: bool = False, emitted: str = "", ticks: Sequence[int] | None = None
    ) -> Tally:
        """Carry the mass over all positions; see `NodeWalk.run`."""
        horizon, pair, initial = self.horizon, self.pair, self._rows.initial
        counter: Counter = NoCount()
        if count:
            counter = Moments() if count == "moments" else FullCount(sum(ticks or [1] * horizon))

        def nothing() -> Array:
            return zeros((counter.width, pair.contexts), initial)

        # Mass by position: where rounds start, and where a bonus token waits.
        starts: dict[int, Array] = defaultdict(nothing)
        bonus: dict[int, Array] = defaultdict(nothing)
        starts[0][0] = initial
        rejected = zeros((horizon,), initial)
        rounds = zeros((horizon, self.structure.depth + 1), initial)
        transitions = zeros((horizon if emitted else 0, pair.contexts, pair.tokens), initial)
        for position in range(horizon):
            if position in bonus:
                joint = bonus.pop(position)[..., None] * self._target(position)
                starts[position + 1] += land(pair, joint)
                if emitted:
                    transitions[position] += joint[0]
            mass = starts.pop(position, None)
            if mass is None or not mass.any():
                continue
            here = self.round(position, min(self.structure.depth, horizon - position))
            if count == "calls":
                mass = counter.shift(mass, ticks[position] if ticks else 1)
            if emitted:
                for part in (here.taken, here.stopped):
                    for j, cells in enumerate(part):
                        weight = mass[0][cells.origin]
                        found = add_rows(cells.context, weight, cells.value, pair.contexts)
                        transitions[position + j] += found
            for j, cells in enumerate(here.landed):
                stopped = cells.move(mass)
                rejected[position + j] += stopped[0].sum()
                rounds[position, j] += stopped[0].sum()
                if count in ("rejections", "moments"):
                    stopped = counter.shift(stopped)
                starts[position + j + 1] += stopped
            for j, cells in enumerate(here.whole):
                if len(cells.origin):
                    ended = cells.move(mass)
                    rounds[position, j] += ended[0].sum()
                    (bonus if self._bonus else starts)[position + j] += ended
        return Tally(
            rejected=rational(rejected),
            calls=rational(rounds.sum(keepdims=True)).item(),
            rounds=rational(rounds),
            emitted=rational(transitions.sum(axis=1) if emitted == "tokens" else transitions),
            final=rational((starts[horizon] + bonus[horizon]).sum(axis=-1)),
        )

    def chain(self) -> Any:
        """Return None: there is no quicker way than `run`; see `NodeWalk.chain`."""
        return None

    def output_law(self) -> Array:
        """Law of the whole sequence, ``(tokens ** horizon,)``; all drafts are listed."""
        states = PathStates(self.pair, self.horizon, self.exact)
        sizes = [len(contexts) for contexts in states.contexts]
        starts, bonus = ([zeros((size,), self._rows.initial) for size in sizes] for _ in range(2))
        starts[0] = states.start(self._rows.initial)
        for position in range(self.horizon):
            waiting = bonus[position][None]
            starts[position + 1] += states.move(position, waiting, self._target(position))[0]
            if not starts[position].any():
                continue
            ended, whole = self.sequences(position, min(self.structure.depth, self.horizon - position))
            mass, contexts = starts[position][:, None], states.contexts[position]
            for emits, law in enumerate(ended, start=1):
                starts[position + emits] += (mass * law[contexts]).ravel()
            for emits, law in enumerate(whole):
                (bonus if self._bonus else starts)[position + emits] += (mass * law[contexts]).ravel()
        return rational(states.sequences(starts[-1] + bonus[-1]))

    def regime(self) -> Regime:
        """Return one uncut round of a stationary pair from every context; see `Regime`."""
        here = self.round(0, self.structure.depth)
        contexts, initial = self.pair.contexts, self._rows.initial
        target = self._target(0)
        following = zeros((contexts, contexts), initial)
        lengths, tokens = zeros((contexts, self.structure.depth + 1), initial), zeros((contexts,), initial)
        for j in range(self.structure.depth + 1):
            ends = [(here.landed[j], j + 1)] if j < self.structure.depth else []
            whole = here.whole[j]
            if self._bonus:
                joint = whole.value[:, None] * target[whole.context]
                ends.append((Cells(whole.origin, whole.context, joint).landed(self.pair), j + 1))
            else:
                ends.append((whole, j))
            for cells, emitted in ends:
                np.add.at(following, (cells.origin, cells.context), cells.value)
                np.add.at(lengths[:, j], cells.origin, cells.value)
                np.add.at(tokens, cells.origin, cells.value * emitted)
        return Regime(*map(rational, (initial, following, lengths, tokens)))


def add_rows(index: Integers, weights: Array, rows: Array, size: int) -> Array:
    """Add weighted rows ``(n, V)`` up by index, ``(size, V)``."""
    if weights.dtype != object:
        from scipy.sparse import csr_array

        return csr_array((weights, (index, np.arange(len(index)))), shape=(size, len(index))) @ rows
    found = zeros((size, rows.shape[1]), rows)
    np.add.at(found, index, weights[:, None] * rows)
    return found
