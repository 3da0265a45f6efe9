"""Brute force in rationals: the joint law of everything one run of a literal algorithm can do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm
from specsim.errors import TooLargeError
from specsim.theory.arithmetic.pair_tables import Pair, tables_of
from specsim.theory.programs.decoders import Decoder, Round, Rows, explore, literal_decoder

_MAX_PATHS = 2**16
_MAX_BRANCHES = 300_000
_MAX_STATES = 300_000
_FULL_DRAFTS = 300


class Outcome(NamedTuple):
    """One complete result of a run.

    ``path`` numbers the emitted sequence in base ``tokens``, first token most significant; bit n-1 of
    ``rejected`` is set when position n was rejected; ``accepted_lengths`` has one entry per round.
    """

    path: int
    rejected: int
    calls: int
    accepted_lengths: tuple[int, ...]


@dataclass(frozen=True)
class Outcomes:
    """The joint law of the outcomes of one algorithm on one pair, in `fractions.Fraction`.

    Attributes
    ----------
    tokens, horizon
        Size of the vocabulary and number of emitted tokens.
    law
        Probability of every `Outcome` that can happen.
    """

    tokens: int
    horizon: int
    law: dict[Outcome, Fraction] = field(repr=False)

    def output_law(self) -> NDArray[Any]:
        """Law of the emitted sequence, shape ``(tokens ** horizon,)``."""
        return self._law(self.tokens**self.horizon, lambda outcome: outcome.path)

    def joint_law(self) -> NDArray[Any]:
        """Law of (sequence, set of rejected positions), shape ``(tokens ** horizon, 2 ** horizon)``."""
        flat = self._law(
            self.tokens**self.horizon * 2**self.horizon,
            lambda outcome: outcome.path * 2**self.horizon + outcome.rejected,
        )
        return flat.reshape(self.tokens**self.horizon, 2**self.horizon)

    def rejection_law(self) -> NDArray[Any]:
        """Law of the number of rejections, shape ``(horizon + 1,)``."""
        return self._law(self.horizon + 1, lambda outcome: outcome.rejected.bit_count())

    def target_call_law(self) -> NDArray[Any]:
        """Law of the number of target calls, shape ``(horizon + 1,)``."""
        return self._law(self.horizon + 1, lambda outcome: outcome.calls)

    def first_accepted_length_law(self) -> NDArray[Any]:
        """Law of the accepted length of the first round, shape ``(horizon + 1,)``."""
        return self._law(self.horizon + 1, lambda outcome: outcome.accepted_lengths[0])

    def accepted_length_counts(self) -> NDArray[Any]:
        """Return the expected rounds per run with each accepted length, shape ``(horizon + 1,)``."""
        counts = _zeros(self.horizon + 1)
        for outcome, probability in self.law.items():
            for length in outcome.accepted_lengths:
                counts[length] += probability
        return counts

    def accepted_length_law(self) -> NDArray[Any]:
        """`accepted_length_counts` divided by its sum."""
        counts = self.accepted_length_counts()
        return counts / counts.sum()

    def rejections_by_step(self) -> NDArray[Any]:
        """Probability that each position is rejected, shape ``(horizon,)``."""
        steps = _zeros(self.horizon)
        for outcome, probability in self.law.items():
            for step in range(self.horizon):
                if outcome.rejected >> step & 1:
                    steps[step] += probability
        return steps

    def expected_rejections(self) -> Fraction:
        """Return the expected number of rejections."""
        return self._mean(lambda outcome: outcome.rejected.bit_count())

    def expected_target_calls(self) -> Fraction:
        """Return the expected number of target calls."""
        return self._mean(lambda outcome: outcome.calls)

    def rejection_variance(self) -> Fraction:
        """Variance of the number of rejections."""
        return self._mean(lambda outcome: outcome.rejected.bit_count() ** 2) - self.expected_rejections() ** 2

    def block_efficiency(self) -> Fraction:
        """Horizon divided by the expected number of target calls."""
        return self.horizon / self.expected_target_calls()

    def output_marginals(self) -> NDArray[Any]:
        """Law of the token at each position, shape ``(horizon, tokens)``."""
        marginals = _zeros(self.horizon, self.tokens)
        for outcome, probability in self.law.items():
            for step in range(self.horizon):
                token = outcome.path // self.tokens ** (self.horizon - 1 - step) % self.tokens
                marginals[step, token] += probability
        return marginals

    def rejected_prefix_masses(self, position: int) -> NDArray[Any]:
        """Pr(x_{1:n}, R_n = 1) for n = `position` (from 1), shape ``(tokens ** position,)``.

        The function f of equation (22) of 2411.00841, by definition.
        """
        masses = _zeros(self.tokens**position)
        for outcome, probability in self.law.items():
            if outcome.rejected >> (position - 1) & 1:
                masses[outcome.path // self.tokens ** (self.horizon - position)] += probability
        return masses

    def _mean(self, value: Callable[[Outcome], int]) -> Fraction:
        return sum((value(outcome) * p for outcome, p in self.law.items()), Fraction(0))

    def _law(self, size: int, index: Callable[[Outcome], int]) -> NDArray[Any]:
        law = _zeros(size)
        for outcome, probability in self.law.items():
            law[index(outcome)] += probability
        return law


def enumerate_outcomes(
    pair: Pair,
    algorithm: Algorithm,
    *,
    horizon: int | None = None,
    full_drafts: bool | None = None,
) -> Outcomes:
    """Enumerate every draft, coin, residual and bonus of the literal algorithm, in rationals.

    Runs that agree in everything that can still matter (position, context) and in everything that is
    reported are merged at the boundaries of rounds; inside a round each token is drawn and tested as
    published (2411.00841, Algorithms 1-4; 2211.17192; 2403.10444).

    Parameters
    ----------
    pair
        A tiny pair: at most about 4 tokens and horizon 4.
    algorithm
        Any descriptor with a program in `specsim.theory.programs.decoders`.
    horizon
        Tokens to emit. Defaults to None, the pair's own.
    full_drafts
        Whether responses are drawn to their end before anything is tested (all tuples of full responses
        for a batch), or token by token when read, so that a part discarded unread is left out. Defaults to
        None: full where the number of tuples is small. The two give the same law; block verification
        reads, and so always draws, the whole draft.

    Returns
    -------
    Outcomes

    Raises
    ------
    TooLargeError
        The enumeration would take too long; use the law functions.
    """
    tables = tables_of(pair)
    horizon = tables.check_horizon(horizon)
    paths = pair.tokens**horizon
    if paths > _MAX_PATHS:
        raise TooLargeError(
            f"horizon is {horizon} with {pair.tokens} tokens: {paths} sequences to enumerate; "
            f"at most {_MAX_PATHS}, so use the law functions of specsim.theory instead"
        )
    decoder = literal_decoder(algorithm, Rows(tables, horizon))
    budget = _Budget()
    rounds: dict[tuple[int, int], dict[Round, Fraction]] = {}

    # One dictionary per position: a round emits at least one token, so positions are met in order.
    states: list[dict[tuple[int, Outcome], Fraction]] = [defaultdict(Fraction) for _ in range(horizon + 1)]
    for context, weight in enumerate(tables.initial_weights.tolist()):
        if weight:
            states[0][context, Outcome(0, 0, 0, ())] += Fraction(weight, tables.unit)
    for position in range(horizon):
        for (context, outcome), probability in states[position].items():
            start = (position, context)
            if start not in rounds:
                rounds[start] = _round_law(decoder, position, context, full_drafts, budget)
            for result, weight in rounds[start].items():
                following, after = context, outcome.path
                for token in result.tokens:
                    following = decoder.rows.after(following, token)
                    after = after * pair.tokens + token
                end = position + len(result.tokens)
                mask = outcome.rejected | (int(result.rejected) << (end - 1))
                if end == horizon:
                    following = 0  # the context after the last token is never used
                new = Outcome(after, mask, outcome.calls + 1, (*outcome.accepted_lengths, result.accepted))
                states[end][following, new] += probability * weight
        if sum(map(len, states)) > _MAX_STATES:
            raise TooLargeError(f"horizon is {horizon}: more than {_MAX_STATES} outcomes; use a smaller one")
        states[position].clear()
    law: dict[Outcome, Fraction] = {outcome: p for (_, outcome), p in states[horizon].items()}
    return Outcomes(pair.tokens, horizon, law)


def _round_law(
    decoder: Decoder, position: int, context: int, full_drafts: bool | None, budget: _Budget
) -> dict[Round, Fraction]:
    full = full_drafts
    if full is None:
        tuples = decoder.rows.tokens ** (decoder.length(position) * decoder.responses)
        full = tuples <= _FULL_DRAFTS
    law: dict[Round, Fraction] = defaultdict(Fraction)
    for result, probability in explore(lambda: decoder.round(position, context, full), budget.spend):
        law[result] += probability
    return dict(law)


class _Budget:
    def __init__(self) -> None:
        self.left = _MAX_BRANCHES

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise TooLargeError(
                f"more than {_MAX_BRANCHES} branches of drafts and coins to enumerate; "
                "use fewer tokens, drafts or positions, or the law functions of specsim.theory"
            )


def _zeros(*shape: int) -> NDArray[Any]:
    return np.full(shape, Fraction(0), dtype=object)
