"""Rounds of a rule that keeps something from round to round: the description ``kept`` of `laws.Laws`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from specsim.algorithms import Algorithm
from specsim.algorithms.structures import chain
from specsim.errors import TooLargeError, UnsupportedError
from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import rational, zeros
from specsim.theory.laws.counters import Counter, FullCount, Moments, NoCount
from specsim.theory.laws.rule_rows import RuleRows
from specsim.theory.laws.tally import Regime, Tally
from specsim.theory.step_laws import StepLaw

#: Most drafts over all rounds and states.
_MOST_DRAFTS = {False: 2**15, True: 2**13}

#: What a round starts from: a context, and what earlier rounds left.
State = tuple[int, tuple[Any, ...]]


class _Result(NamedTuple):
    """What a round may do: what it emits in which contexts, whether the last token was rejected."""

    tokens: tuple[int, ...]
    contexts: tuple[int, ...]
    accepted: int
    rejected: bool
    after: State
    probability: Any


class KeptRounds:
    """Rounds from every state that is met: all drafts are listed, and states are what the rule keeps.

    rows, algorithm, step_law, horizon: as for `specsim.theory.laws.rounds.Rounds`.
    """

    def __init__(self, rows: RuleRows, algorithm: Algorithm, step_law: StepLaw, horizon: int) -> None:
        self.pair, self.horizon, self.stationary = rows.pair, horizon, rows.stationary
        self._rows, self._algorithm, self._keeping = rows, algorithm, step_law.keeping
        self._depth = algorithm.structure(horizon).depth
        self._known: dict[tuple[int, State], list[_Result]] = {}
        self._drafts = 0
        # Every context is met at most positions, and most of them after several pasts.
        self._count(min(2.0**62, float(rows.pair.tokens) ** self._depth) * rows.pair.contexts)

    def run(
        self, count: str = "", *, depths: bool = False, emitted: str = "", ticks: Sequence[int] | None = None
    ) -> Tally:
        """Carry the mass over all positions; see `NodeWalk.run`."""
        horizon, pair, initial = self.horizon, self.pair, self._rows.initial
        counter: Counter = NoCount()
        if count:
            counter = Moments() if count == "moments" else FullCount(sum(ticks or [1] * horizon))
        starts: list[dict[State, Array]] = [
            defaultdict(lambda: zeros((counter.width, 1), initial)) for _ in range(horizon + 1)
        ]
        for context in np.flatnonzero(initial).tolist():
            starts[0][context, ()][0] += initial[context]
        rejected, rounds = zeros((horizon,), initial), zeros((horizon, self._depth + 1), initial)
        transitions = zeros((horizon if emitted else 0, pair.contexts, pair.tokens), initial)
        for position in range(horizon):
            for state, started in starts[position].items():
                mass = (
                    counter.shift(started, ticks[position] if ticks else 1) if count == "calls" else started
                )
                for result in self._round(position, state):
                    part = mass * result.probability
                    rounds[position, result.accepted] += part[0, 0]
                    if emitted:
                        for step, (context, token) in enumerate(
                            zip(result.contexts, result.tokens, strict=True), start=position
                        ):
                            transitions[step, context, token] += part[0, 0]
                    if result.rejected:
                        rejected[position + result.accepted] += part[0, 0]
                        if count in ("rejections", "moments"):
                            part = counter.shift(part)
                    starts[position + len(result.tokens)][result.after] += part
        final = sum(starts[horizon].values(), zeros((counter.width, 1), initial))
        return Tally(
            rejected=rational(rejected),
            calls=rational(rounds.sum(keepdims=True)).item(),
            rounds=rational(rounds),
            emitted=rational(transitions.sum(axis=1) if emitted == "tokens" else transitions),
            final=rational(final.sum(axis=-1)),
        )

    def chain(self) -> Any:
        """Return None: there is no quicker way than `run`; see `NodeWalk.chain`."""
        return None

    def regime(self) -> Regime:
        """Refuse: what is kept has no finite set of values.

        UnsupportedError: always.
        """
        raise UnsupportedError(
            f"rule {self._algorithm.rule.name} keeps numbers from round to round, so that its long run has "
            "no finite description; ask for a horizon, or simulate"
        )

    def output_law(self) -> Array:
        """Law of the whole sequence, ``(tokens ** horizon,)``."""
        initial, tokens = self._rows.initial, self.pair.tokens
        starts: list[dict[tuple[State, int], Any]] = [
            defaultdict(lambda: initial.flat[0] * 0) for _ in range(self.horizon + 1)
        ]
        for context in np.flatnonzero(initial).tolist():
            starts[0][(context, ()), 0] += initial[context]
        for position in range(self.horizon):
            for (state, path), mass in starts[position].items():
                for result in self._round(position, state):
                    after = path
                    for token in result.tokens:
                        after = after * tokens + token
                    end = position + len(result.tokens)
                    starts[end][result.after, after] += mass * result.probability
        law = zeros((tokens**self.horizon,), initial)
        for (_, path), mass in starts[self.horizon].items():
            law[path] += mass
        return rational(law)

    def _round(self, position: int, state: State) -> list[_Result]:
        """Return what a round can do."""
        if (position, state) not in self._known:
            self._known[position, state] = list(self._listed(position, state))
        return self._known[position, state]

    def _listed(self, position: int, state: State) -> Iterator[_Result]:
        context, kept = state
        length = min(self._depth, self.horizon - position)
        self._count(self.pair.tokens**length)
        target, draft, _ = self._rows.at(position + np.arange(length + 1))
        following, depth = self.pair.next_context, np.arange(length + 1)
        for drafted in product(range(self.pair.tokens), repeat=length):
            contexts, probability = [context], self._rows.initial.flat[0] * 0 + 1
            for level, token in enumerate(drafted):
                probability = probability * draft[level, contexts[-1], token]
                contexts.append(int(following[contexts[-1], token]))
            if not probability:
                continue
            assert self._keeping is not None
            law, left = self._keeping(
                chain(length), target[depth, contexts], draft[depth, contexts], np.array((0, *drafted)), kept
            )
            law = law * probability
            for stop in range(length + 1):
                whole = stop == length
                here = (tuple(contexts[: stop + 1]), stop, not whole)
                if whole and not (self._algorithm.whole_bonus and position + length < self.horizon):
                    yield _Result(drafted, here[0][:-1], stop, False, (contexts[-1], ()), law[stop].sum())
                    continue
                for token in np.flatnonzero(law[stop]).tolist():
                    after = int(following[contexts[stop], token])
                    yield _Result((*drafted[:stop], token), *here, (after, left[stop]), law[stop, token])

    def _count(self, drafts: float) -> None:
        self._drafts += int(drafts)
        if self._drafts > _MOST_DRAFTS[self._rows.exact]:
            raise TooLargeError(
                f"rule {self._algorithm.rule.name} is described by all drafts after all that earlier rounds "
                f"left: more than {_MOST_DRAFTS[self._rows.exact]} here; use a shorter draft or "
                "horizon, fewer tokens, or simulate"
            )
