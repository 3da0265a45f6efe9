"""Adaptive draft lengths as engines ship them, simulated with the rule ``ratio`` on a stationary chain.

A rule decides the length of a round from the accepted lengths of the rounds before. Runs are simulated
side by side, each with a state of its own. Nothing of theory is used: tokens are drafted, tested and
replaced.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from specsim.algorithms import chain
from specsim.clocks import CostModel
from specsim.errors import InputError
from specsim.pairs import ModelPair
from specsim.support.arrays import Floats, Integers
from specsim.support.checks import whole


class LengthRule(Protocol):
    """A rule for the next draft length, for many runs at once."""

    @property
    def longest(self) -> int:
        """The longest draft."""

    def begin(self, runs: int) -> Integers:
        """Forget everything; return the first draft length of each run."""

    def following(self, drafted: Integers, accepted: Integers) -> Integers:
        """Return the next draft lengths, after a round."""


@dataclass
class Heuristic:
    """transformers: two more after a round that is accepted as a whole, else one less, at least one.

    ``num_assistant_tokens_schedule="heuristic"``; the cap is ours.
    """

    longest: int = 20
    first: int = 5

    def begin(self, runs: int) -> Integers:
        """See `LengthRule`."""
        return np.full(runs, min(self.first, self.longest))

    def following(self, drafted: Integers, accepted: Integers) -> Integers:
        """See `LengthRule`."""
        return np.where(
            accepted == drafted, np.minimum(drafted + 2, self.longest), np.maximum(drafted - 1, 1)
        )


@dataclass
class MovingAverage:
    """SGLang, ``--speculative-adaptive``: candidate lengths chosen by a moving average of accepted drafts.

    After `warmup` rounds, every `interval` rounds: step down while the average is at most the next candidate
    below - 0.5 + `down`, then up while it is above the current one - 0.5 + `up`. Read in
    ``adaptive_spec_params.py`` (2026); versions differ in `down` and `up`.
    """

    candidates: tuple[int, ...] = (1, 3, 7)
    share: float = 0.2
    warmup: int = 10
    interval: int = 5
    down: float = -0.25
    up: float = 0.0
    first: int = 3
    _average: Floats = field(init=False, repr=False)
    _index: Integers = field(init=False, repr=False)
    _rounds: int = field(init=False, repr=False, default=0)

    @property
    def longest(self) -> int:
        """The longest candidate."""
        return self.candidates[-1]

    def begin(self, runs: int) -> Integers:
        """See `LengthRule`."""
        nearest = min(range(len(self.candidates)), key=lambda at: abs(self.candidates[at] - self.first))
        self._index, self._rounds = np.full(runs, nearest), 0
        self._average = np.full(runs, self.candidates[nearest] - 1.0)
        return np.array(self.candidates)[self._index]

    def following(self, drafted: Integers, accepted: Integers) -> Integers:
        """See `LengthRule`."""
        lengths = np.array(self.candidates)
        self._average = (1 - self.share) * self._average + self.share * accepted
        self._rounds += 1
        since = self._rounds - self.warmup
        if since > 0 and since % self.interval == 0:
            for _ in lengths:
                below = lengths[np.maximum(self._index - 1, 0)]
                self._index -= (self._index > 0) & (self._average <= below - 0.5 + self.down)
            top = len(lengths) - 1
            for _ in lengths:
                self._index += (self._index < top) & (self._average > lengths[self._index] - 0.5 + self.up)
        return lengths[self._index]


@dataclass
class Goodput:
    """vLLM's branch adaptive_k: the length of the best estimated tokens per time, by conditional averages.

    The acceptance of each place is a moving average (share .3, first .85) over the rounds that tested it;
    the cost of a round of K is ``1 + draft K``. Read in a branch (2026); with K = 0 where nothing is gained.
    """

    longest: int = 8
    share: float = 0.3
    prior: float = 0.85
    draft: float = 0.1144
    _rates: Floats = field(init=False, repr=False)

    def begin(self, runs: int) -> Integers:
        """See `LengthRule`."""
        self._rates = np.full((runs, self.longest), self.prior)
        return self._best()

    def following(self, drafted: Integers, accepted: Integers) -> Integers:
        """See `LengthRule`."""
        places = np.arange(self.longest)
        tested = (places <= accepted[:, None]) & (places < drafted[:, None])
        passed = places < accepted[:, None]
        self._rates = np.where(tested, (1 - self.share) * self._rates + self.share * passed, self._rates)
        return self._best()

    def _best(self) -> Integers:
        tokens = 1 + np.cumsum(np.cumprod(self._rates, axis=1), axis=1)
        rates = tokens / (1 + self.draft * np.arange(1, self.longest + 1))
        # At least one, or the rule would never learn again.
        return np.argmax(rates, axis=1) + 1


@dataclass(frozen=True)
class LengthRuns:
    """What a simulation of adaptive lengths counted, per run.

    tokens, times: emitted tokens, and time in target calls, ``(runs,)``.
    lengths: rounds by draft length, over all runs.
    """

    tokens: Integers
    times: Floats
    lengths: Integers


def simulate_lengths(
    pair: ModelPair,
    rule: LengthRule,
    clock: CostModel,
    *,
    runs: int,
    rounds: int,
    seed: int = 0,
    skip: int = 0,
) -> LengthRuns:
    """Simulate a rule for draft lengths.

    pair: a stationary pair.
    rule: one of this module, or of one's own.
    clock: what rounds cost.
    runs, rounds: independent runs, and the rounds of each that count.
    skip: rounds before those, which do not count.
    InputError: the pair is not stationary.
    """
    if not pair.stationary:
        raise InputError("the rows change from step to step; give a stationary pair")
    whole("runs", runs, 1)
    target, draft, following = pair.target[0], pair.draft[0], np.asarray(pair.next_context)
    excess = np.maximum(target - draft, 0)
    tables = [np.cumsum(table, axis=1) for table in (draft, excess, target)]
    words = np.random.Generator(np.random.Philox(seed))
    costs = np.array([float(clock.round_time(chain(length))) for length in range(rule.longest + 1)])

    def drawn(table: Floats, rows: Integers) -> Integers:
        sums = table[rows]
        # Strictly below the sum, so that no token of weight 0 is ever drawn.
        most = np.nextafter(sums[:, -1], 0)
        coins = np.minimum(words.random(len(rows)) * sums[:, -1], most)
        return np.asarray((sums <= coins[:, None]).sum(axis=1))

    context = words.choice(pair.contexts, size=runs, p=pair.initial / pair.initial.sum())
    lengths = rule.begin(runs)
    tokens, times = np.zeros(runs, dtype=np.int64), np.zeros(runs)
    counts = np.zeros(rule.longest + 1, dtype=np.int64)
    for number in range(skip + rounds):
        accepted, alive = np.zeros(runs, dtype=np.int64), np.ones(runs, dtype=bool)
        rejected = np.zeros(runs, dtype=bool)
        for place in range(int(lengths.max())):
            active = np.flatnonzero(alive & (lengths > place))
            here = context[active]
            token = drawn(tables[0], here)
            passed = words.random(len(active)) * draft[here, token] < target[here, token]
            context[active[passed]] = following[here[passed], token[passed]]
            accepted[active] += passed
            alive[active[~passed]] = False
            rejected[active[~passed]] = True
        for table, group in ((tables[1], np.flatnonzero(rejected)), (tables[2], np.flatnonzero(~rejected))):
            context[group] = following[context[group], drawn(table, context[group])]
        if number >= skip:
            tokens += accepted + 1
            times += costs[lengths]
            counts += np.bincount(lengths, minlength=len(counts))
        lengths = rule.following(lengths, accepted)
    return LengthRuns(tokens, times, counts)
