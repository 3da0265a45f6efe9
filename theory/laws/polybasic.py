"""Polybasic speculative decoding, 2510.26527: expected calls of every model of a chain, exactly.

What decodes is said in `specsim.engines.systems.polybasic`; here are expectations, which add up. A token is
followed from the model that draws it upwards, and every model tests it at once, although its call comes
later. Where a model rejects, the expectation splits in two. One part has the replaced token and goes on with
decoding. The other has the rejected token; it counts what the models below still spend until the block is
complete, and the call that tests it, and ends there. So a state is what each model has passed, the context,
and whether it is of the first kind or which model has rejected: no tokens are kept.

The text has the law of the target for every chain, `target_law`; with blocks of exact length the calls of a
model do not depend on what is below the model that drafts for it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from specsim.clocks import CostModel, check_clock
from specsim.clocks.clock import Number, cost
from specsim.errors import InputError, TooLargeError
from specsim.support.arrays import Array
from specsim.support.checks import whole
from specsim.theory.arithmetic.numbers import divided, normalise, positive, zeros
from specsim.theory.arithmetic.pair_tables import Pair, PairTables, tables_of
from specsim.theory.laws.tally import Regime

#: A pair, or the neighbouring pairs of a chain of models.
Chain = Pair | Sequence[Pair]
#: States times numbers in each, a minute or two at most.
_MOST_WORK = {False: 2**28, True: 2**23}
#: More than any position that a round of a stationary pair reaches.
_ENDLESS = 2**40


@dataclass(frozen=True)
class PolybasicRates:
    """Averages of very long runs, per emitted token; model 0 is the target.

    Attributes
    ----------
    calls
        Calls of each model; steps of the last one.
    passed
        Tokens that each model but the last passes up, whether they are kept or not; 1 for the target.

    Examples
    --------
    >>> rates = PolybasicRates(calls=(0.25, 0.5, 2.0), passed=(1.0, 1.25))
    >>> rates.tokens_per_call, rates.printed_calls
    ((4.0, 2.5), (0.25, 0.4))
    """

    calls: tuple[Any, ...]
    passed: tuple[Any, ...]

    @property
    def tokens_per_call(self) -> tuple[Any, ...]:
        """Tokens that a call passes up, by model: L of 2510.26527."""
        return tuple(passed / calls for passed, calls in zip(self.passed, self.calls, strict=False))

    @property
    def printed_calls(self) -> tuple[Any, ...]:
        """Calls per emitted token as Lemma 3.1 of 2510.26527 counts them, 1 / L: as if all were kept."""
        return tuple(1 / tokens for tokens in self.tokens_per_call)

    def time(self, draft: Number, middle: Sequence[Number] = (), *, printed: bool = False) -> Any:
        """Return the time per emitted token, in target calls, if calls cost the same for any width.

        Parameters
        ----------
        draft
            A step of the last model.
        middle
            A call of each model between.
        printed
            Whether Lemma 3.1 of 2510.26527 is used: each model has 1 / L calls per token, and the last one as
            many steps per call of the model above it as it really has.

        Raises
        ------
        InputError
            A cost is out of range, or there are too many or too few.
        """
        costs = [Fraction(1), *_costs_of(middle, len(self.passed) - 1), cost("draft", draft)]
        calls = self.calls
        if printed:
            steps = self.calls[-1] / self.calls[-2]
            calls = (*self.printed_calls, steps * self.printed_calls[-1])
        exact = isinstance(calls[0], Fraction)
        return sum(
            number * (price if exact else float(price)) for number, price in zip(calls, costs, strict=True)
        )


def polybasic_rounds(
    pairs: Chain,
    lengths: int | Sequence[int],
    *,
    exact_blocks: bool = True,
    horizon: int | None = None,
    exact: bool = False,
) -> Array:
    """Return expected calls by model, passed tokens at their start, and tested tokens.

    The shape is ``(models, horizon, longest + 1)``; steps of the last model test 0 tokens.

    Parameters
    ----------
    pairs
        The chain as its neighbouring pairs from the target down: the draft of each is the target of the
        next, see `specsim.model_chain`.
    lengths
        Tokens of a block of each model but the last.
    exact_blocks
        Whether a block has exactly its length; with False it is all that is in the buffer.
    horizon, exact
        As in `expected_rejections`.

    Raises
    ------
    InputError
        An argument is out of range, or neighbouring pairs do not share a model.
    TooLargeError
        There are too many states.

    Examples
    --------
    >>> from specsim import model_chain, paper_pair, theory
    >>> rounds = theory.polybasic_rounds(model_chain(paper_pair(50), 0.8), (4, 2))
    >>> rounds.sum(axis=(1, 2)).round(2)
    array([11.82, 25.29, 50.11])
    """
    chain = _Chain(pairs, lengths, exact_blocks, exact)
    horizon = chain.tables.check_horizon(horizon)
    flow = _Flow(chain, horizon)
    flow.run(chain.initial[None])
    longest = min(max(chain.lengths) if exact_blocks else sum(chain.lengths), horizon)
    found = zeros((chain.models, horizon, longest + 1), chain.initial)
    for (model, start, tested), mass in flow.calls.items():
        found[model, start, tested] += mass[0]
    return found


def expected_polybasic_time(
    pairs: Chain,
    lengths: int | Sequence[int],
    clock: CostModel,
    *,
    middle: Sequence[Number] = (),
    exact_blocks: bool = True,
    horizon: int | None = None,
    exact: bool = False,
) -> Any:
    """Return the expected time of a run of a chain of models, in target calls.

    Parameters
    ----------
    pairs, lengths, exact_blocks, horizon, exact
        As in `polybasic_rounds`.
    clock
        What a target call, a step of the last model and the overhead of a target call cost. A call that
        tests k tokens looks at k + 1.
    middle
        What a call of each model between costs, as a share of a target call for as many tokens.

    Examples
    --------
    >>> from specsim import Clock, Speculative, model_chain, paper_pair, theory
    >>> pair, clock = paper_pair(50), Clock(draft=0.02)
    >>> round(theory.expected_polybasic_time(model_chain(pair, 0.8), (6, 4), clock, middle=[0.2]), 4)
    15.3597
    >>> round(theory.expected_time(pair, Speculative(draft_length=7), clock), 4)
    20.0971
    """
    check_clock(clock)
    rounds = polybasic_rounds(pairs, lengths, exact_blocks=exact_blocks, horizon=horizon, exact=exact)
    shares = (Fraction(1), *_costs_of(middle, len(rounds) - 2))
    total = Fraction(0) if exact else 0.0
    for model, start, tested in np.argwhere(rounds).tolist():
        if model == len(shares):
            time = clock.draft_time(1, 1, start)
        else:
            time = shares[model] * clock.target_time(tested + 1, 1, start)
            time += 0 if model else clock.overhead_time(1)
        total += (
            rounds[model, start, tested] * time
            if exact
            else float(rounds[model, start, tested] * float(time))
        )
    return total


def stationary_polybasic_rates(
    pairs: Chain, lengths: int | Sequence[int], *, exact_blocks: bool = True, exact: bool = False
) -> PolybasicRates:
    """Return calls and passed tokens per emitted token of very long runs of stationary pairs.

    Parameters are those of `polybasic_rounds`.

    Raises
    ------
    InputError
        A pair is not stationary.

    Examples
    --------
    >>> from fractions import Fraction
    >>> from specsim.theory import RationalPair, stationary_polybasic_rates
    >>> low, half, high = ([Fraction(k, 4), Fraction(4 - k, 4)] for k in (1, 2, 3))
    >>> chain = [RationalPair.independent(*rows, horizon=9) for rows in ((low, half), (half, high))]
    >>> stationary_polybasic_rates(chain, (2, 1), exact=True).calls
    (Fraction(16, 37), Fraction(20, 37), Fraction(20, 37))
    """
    chain = _Chain(pairs, lengths, exact_blocks, exact)
    if not chain.tables.stationary:
        raise InputError("the rows change from step to step; give a stationary pair")
    size = chain.tables.contexts
    start = zeros((size, size), chain.initial)
    np.fill_diagonal(start, Fraction(1) if exact else 1.0)
    flow = _Flow(chain, _ENDLESS, one_round=True)
    flow.run(start)
    counts = zeros((size, 2 * chain.models), chain.initial)
    for (model, _, _), mass in flow.calls.items():
        counts[:, model] += mass
    for model, mass in flow.passed.items():
        counts[:, chain.models + model] += mass
    regime = Regime(
        initial=chain.initial, following=flow.following, lengths=counts, tokens=counts[:, chain.models]
    )
    tokens, averages = regime.averages()
    rates = [value / tokens if exact else float(value / tokens) for value in averages]
    return PolybasicRates(tuple(rates[: chain.models]), tuple(rates[chain.models : -1]))


def _costs_of(middle: Sequence[Number], wanted: int) -> list[Fraction]:
    if len(middle) != wanted:
        raise InputError(f"middle has {len(middle)} costs for {wanted} models between; give one for each")
    return [cost(f"middle[{place}]", share) for place, share in enumerate(middle)]


@dataclass(frozen=True)
class _Step:
    """Rows of one step: of every model; what each passes of the model below; what it replaces it by."""

    rows: list[Array]
    kept: list[Array]
    residual: list[Array]


class _Chain:
    """The models of a chain: rows of every step, and block lengths."""

    def __init__(self, pairs: Chain, lengths: int | Sequence[int], exact_blocks: bool, exact: bool) -> None:
        neighbours = _neighbours(pairs)
        self.tables = neighbours[0]
        self.models = len(neighbours) + 1
        given = list(lengths) if isinstance(lengths, list | tuple | np.ndarray) else [lengths]
        if len(given) != len(neighbours):
            raise InputError(
                f"lengths has length {len(given)} for {self.models} models; give one number for each but "
                "the last"
            )
        self.lengths = [whole(f"lengths[{place}]", length, 1) for place, length in enumerate(given)]
        self.exact_blocks = exact_blocks
        self.exact = exact
        self.initial = (
            self.tables.fractions(self.tables.initial_weights) if exact else np.array(self.tables.initial)
        )
        sources = [(neighbours[0], "target"), *((tables, "draft") for tables in neighbours)]
        self._rows = [
            tables.fractions(getattr(tables, f"{side}_weights")) if exact else getattr(tables, side)
            for tables, side in sources
        ]
        self._steps: dict[int, _Step] = {}

    def step(self, place: int) -> _Step:
        """Return the rows for the token at a position."""
        index = self.tables.step_index(place)
        if index not in self._steps:
            rows = [rows[index] for rows in self._rows]
            self._steps[index] = _Step(
                rows,
                [divided(np.minimum(upper, lower), lower) for upper, lower in pairwise(rows)],
                [normalise(positive(upper - lower), upper) for upper, lower in pairwise(rows)],
            )
        return self._steps[index]

    def following(self, masses: Array) -> Array:
        """Return masses by context after masses by context and token, ``(starts, contexts, tokens)``."""
        found = zeros(masses.shape[:2], self.initial)
        places = self.tables.next_context.ravel()
        np.add.at(found, (slice(None), places), masses.reshape(len(masses), -1))  # type: ignore[arg-type]
        return found


def _neighbours(pairs: Chain) -> list[PairTables]:
    listed = [pairs] if isinstance(pairs, str) or not isinstance(pairs, Sequence) else list(pairs)
    found = [tables_of(pair) for pair in listed]
    if not found:
        raise InputError("pairs is empty; give the pairs of neighbouring models, see specsim.model_chain")
    for number, (upper, lower) in enumerate(pairwise(found)):
        shared = (
            np.array_equal(upper.next_context, lower.next_context)
            and np.array_equal(upper.draft_weights * lower.unit, lower.target_weights * upper.unit)
            and np.array_equal(upper.initial_weights * lower.unit, lower.initial_weights * upper.unit)
        )
        if not shared:
            raise InputError(
                f"the draft of pairs[{number}] is not the target of pairs[{number + 1}]; "
                "see specsim.model_chain"
            )
    return found


#: The model that has rejected, or -1; what each model has passed (0 above a model that has rejected).
_State = tuple[int, tuple[int, ...]]


class _Flow:
    """Probability and expectation by state, position by position; see the docstring of the module.

    calls: expected calls by model, start and tested tokens.
    passed: expected tokens that each model but the last passes up.
    following: context after the first call of the target, with `one_round`.
    """

    def __init__(self, chain: _Chain, horizon: int, *, one_round: bool = False) -> None:
        self.calls: dict[tuple[int, int, int], Any] = defaultdict(int)
        self.passed: dict[int, Any] = defaultdict(int)
        self.following: Any = 0
        self._chain = chain
        self._horizon = horizon
        self._one_round = one_round
        self._drafter = chain.models - 1
        self._waiting: dict[int, dict[_State, Any]] = defaultdict(dict)

    def run(self, start: Array) -> None:
        """Follow everything from the first contexts on, ``(starts, contexts)``."""
        self._check_size(start.size)
        self._put(-1, (0,) * self._chain.models, start)
        while self._waiting:
            states = self._waiting[min(self._waiting)]
            while states:
                (rejecting, passed), mass = states.popitem()
                self._advance(rejecting, passed, mass)
            del self._waiting[min(self._waiting)]

    def _check_size(self, size: int) -> None:
        chain, horizon = self._chain, self._horizon
        held = math.prod(min(length, horizon) for length in chain.lengths)
        states = chain.models * held * (1 if self._one_round else horizon)
        # Small states take as long as those of some hundred numbers.
        if states * (256 + size * chain.tables.tokens * chain.models) > _MOST_WORK[chain.exact]:
            raise TooLargeError(
                f"blocks of {chain.lengths} have about {states} states; use shorter blocks, a smaller "
                "horizon or fewer models"
            )

    def _put(self, rejecting: int, passed: tuple[int, ...], mass: Array) -> None:
        if mass.any():
            states = self._waiting[passed[-1]]
            state = (rejecting, (0,) * max(rejecting, 0) + passed[max(rejecting, 0) :])
            states[state] = states[state] + mass if state in states else mass

    def _advance(self, rejecting: int, passed: tuple[int, ...], mass: Array) -> None:
        """Make the next call, or draft a token."""
        lengths, place, below = self._chain.lengths, passed[-1], passed[1:]
        verifying = range(rejecting + 1, self._drafter)
        if rejecting >= 0:
            held = below[rejecting] - passed[rejecting]
            if held >= lengths[rejecting] or below[rejecting] == self._horizon:
                self._call(rejecting, passed, mass)
                return
        elif passed[0] == self._horizon or (self._one_round and passed[0]):
            self.following = self.following + mass
            return
        if place == self._horizon:
            model = max(model for model in verifying if passed[model] < below[model] == place)
            self._call(model, passed, mass)
            self.passed[model] += (place - passed[model]) * mass.sum(axis=-1)
            self._put(rejecting, passed[:model] + (place,) * (len(passed) - model), mass)
            return
        if self._chain.exact_blocks:
            # All tokens of the block are known and accepted: the model adds its own, whatever it costs the
            # models below to hand the block over.
            ready = [model for model in verifying if place - passed[model] == lengths[model]]
            if ready:
                self._put(ready[0], passed, mass)
                self._draw(rejecting, passed, ready[0], mass)
                return
        else:
            ready = [model for model in verifying if below[model] - passed[model] >= lengths[model]]
            if ready:
                self._call(ready[-1], passed, mass)
                self._draw(rejecting, passed, ready[-1], mass)
                return
        self.calls[self._drafter, place, 0] += mass.sum(axis=-1)
        self._draw(rejecting, passed, self._drafter, mass)

    def _call(self, model: int, passed: tuple[int, ...], mass: Array) -> None:
        tested = passed[model + 1] - passed[model]
        if self._chain.exact_blocks:
            tested = min(tested, self._chain.lengths[model])
        start = 0 if self._one_round else passed[model]
        self.calls[model, start, tested] += mass.sum(axis=-1)

    def _draw(self, rejecting: int, passed: tuple[int, ...], source: int, mass: Array) -> None:
        """Draw a token from a model's rows and let the models above test it, up to one that has rejected."""
        place = passed[-1]
        step = self._chain.step(place)

        def after(model: int) -> tuple[int, ...]:
            return passed[:model] + (place + 1,) * (len(passed) - model)

        # Tokens by the last model that ended its round with them.
        tokens = {source: mass[..., None] * step.rows[source]}
        for model in range(source, rejecting, -1):
            if model < source:
                lost: Any = 0
                for ended, weight in tokens.items():
                    tokens[ended] = weight * step.kept[model]
                    rejected = weight - tokens[ended]
                    self._put(model, after(ended), self._chain.following(rejected))
                    lost = lost + rejected.sum(axis=-1)
                tokens[model] = lost[..., None] * step.residual[model]
            if model < self._drafter:
                self.passed[model] += (place + 1 - passed[model]) * tokens[model].sum(axis=(1, 2))
        for ended, weight in tokens.items():
            self._put(rejecting, after(ended), self._chain.following(weight))
