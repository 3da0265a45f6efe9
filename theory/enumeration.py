"""Brute force in rationals: the joint law of everything that one run of a published algorithm can do.

An algorithm is enumerated from its program (`specsim.theory.programs`) and the way its drafts are drawn:
every draft, coin, residual and bonus is a finite law, and each sequence of values of positive probability is
run.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm, Rule
from specsim.algorithms.structures import Structure
from specsim.errors import TooLargeError
from specsim.theory.arithmetic.pair_tables import Pair, tables_of
from specsim.theory.enumerated_rounds import Budget, Kept, Rounds, explore
from specsim.theory.programs import get_program
from specsim.theory.programs.steps import Program, Row, draw

_MAX_PATHS = 2**16
_MAX_STATES = 300_000


class Outcome(NamedTuple):
    """One complete result of a run.

    ``path`` numbers the emitted sequence in base ``tokens``, first token most significant; bit n-1 of
    ``rejected`` is set when position n was rejected; ``accepted_lengths`` has one entry per round.

    Examples
    --------
    >>> from specsim import Speculative, parse_pair, theory
    >>> found = theory.enumerate_outcomes(parse_pair("random:contexts=2,horizon=1,seed=1"), Speculative())
    >>> next(outcome for outcome in found.law if outcome.rejected)
    Outcome(path=0, rejected=1, calls=1, accepted_lengths=(0,))
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
    counts
        What `round_counts` returns.

    Examples
    --------
    >>> from specsim import Speculative, parse_pair, theory
    >>> found = theory.enumerate_outcomes(parse_pair("random:contexts=2,horizon=2,seed=1"), Speculative())
    >>> found.rejection_law().sum()
    Fraction(1, 1)
    """

    tokens: int
    horizon: int
    law: dict[Outcome, Fraction] = field(repr=False)
    counts: NDArray[Any] = field(repr=False)

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

    def round_counts(self) -> NDArray[Any]:
        """Return the expected rounds per run by start and accepted length, ``(horizon, horizon + 1)``.

        A round starts at a position, counted from 0.
        """
        return self.counts

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
    algorithm: Algorithm | str,
    *,
    horizon: int | None = None,
    full_drafts: bool | None = None,
) -> Outcomes:
    """Enumerate every draft, coin, residual and bonus of the published algorithm, in rationals.

    Runs that agree in everything that can still matter (position, context) and in everything that is
    reported are merged at the boundaries of rounds; inside a round each token is drawn and tested as
    published (2411.00841, Algorithms 1-4; 2211.17192; 2403.10444; the sources of the rules).

    Parameters
    ----------
    pair
        A tiny pair: at most about 4 tokens and horizon 4.
    algorithm
        Any descriptor whose rule has a program in `specsim.theory.programs`.
    horizon
        Tokens to emit. Defaults to None, the pair's own.
    full_drafts
        Whether all drafted tokens are drawn before anything is tested, or each when it is first read, so
        that a part discarded unread is omitted. Defaults to None: all where the number of drafts is small.
        The two give the same law.

    Raises
    ------
    TooLargeError
        The enumeration would take too long; use the law functions.
    UnsupportedError
        The rule has no program, or there are infinitely many drafts.

    Examples
    --------
    >>> from specsim.algorithms import Speculative
    >>> from specsim.theory import RationalPair
    >>> low, high = Fraction(1, 4), Fraction(3, 4)
    >>> pair = RationalPair.independent([low, high], [high, low], horizon=2)
    >>> enumerate_outcomes(pair, Speculative()).expected_rejections()
    Fraction(1, 1)
    """
    tables = tables_of(pair)
    horizon = tables.check_horizon(horizon)
    paths = tables.tokens**horizon
    if paths > _MAX_PATHS:
        raise TooLargeError(
            f"horizon is {horizon} with {tables.tokens} tokens: {paths} sequences to enumerate; "
            f"at most {_MAX_PATHS}, so use the law functions of specsim.theory instead"
        )
    rounds = Rounds(tables, algorithm, horizon, full_drafts)
    counts = _zeros(horizon, horizon + 1)
    # One dictionary per position: a round emits at least one token, so positions are met in order.
    states: list[dict[tuple[int, Kept, Outcome], Fraction]] = [
        defaultdict(Fraction) for _ in range(horizon + 1)
    ]
    for context, weight in enumerate(tables.initial_weights.tolist()):
        if weight:
            states[0][context, (), Outcome(0, 0, 0, ())] += Fraction(weight, tables.unit)
    for position in range(horizon):
        for (context, kept, outcome), probability in states[position].items():
            for result, weight in rounds.law(position, context, kept).items():
                following, after = context, outcome.path
                for token in result.tokens:
                    following = rounds.after(following, token)
                    after = after * tables.tokens + token
                end = position + len(result.tokens)
                mask = outcome.rejected | (int(result.rejected) << (end - 1))
                if end == horizon:
                    following = 0  # the context after the last token is never used
                left = result.kept if end < horizon else ()
                new = Outcome(after, mask, outcome.calls + 1, (*outcome.accepted_lengths, result.accepted))
                states[end][following, left, new] += probability * weight
                counts[position, result.accepted] += probability * weight
        if sum(map(len, states)) > _MAX_STATES:
            raise TooLargeError(f"horizon is {horizon}: more than {_MAX_STATES} outcomes; use a smaller one")
        states[position].clear()
    law: dict[Outcome, Fraction] = {outcome: p for (_, _, outcome), p in states[horizon].items()}
    return Outcomes(tables.tokens, horizon, law, counts)


def round_bias(pair: Pair, algorithm: Algorithm | str, *, horizon: int | None = None) -> Fraction:
    """Return the bias of one round: the largest error of a probability of its output, 0 for a lossless rule.

    Parameters
    ----------
    pair, algorithm, horizon
        As in `enumerate_outcomes`.

    Examples
    --------
    >>> from specsim.algorithms import get_rule
    >>> from specsim.theory import RationalPair
    >>> low, high = Fraction(1, 4), Fraction(3, 4)
    >>> pair = RationalPair.independent([low, high], [high, low], horizon=2)
    >>> round_bias(pair, get_rule("recursive")(tree=(2,)))
    Fraction(0, 1)
    """
    return max(abs(error) for error in round_errors(pair, algorithm, horizon=horizon).values())


def round_errors(
    pair: Pair, algorithm: Algorithm | str, *, horizon: int | None = None
) -> dict[tuple[int, ...], Fraction]:
    """Return the error of the output of one round: the law of the sequences less the target's, by sequence.

    The tokens of the first round are continued by draws from the target, up to the horizon.

    Parameters
    ----------
    pair, algorithm, horizon
        As in `enumerate_outcomes`.

    Examples
    --------
    >>> from specsim.algorithms import get_rule
    >>> from specsim.theory import RationalPair
    >>> low, high = Fraction(1, 4), Fraction(3, 4)
    >>> pair = RationalPair.independent([low, high], [high, low], horizon=1)
    >>> round_errors(pair, get_rule("over-acceptance")(epsilon=Fraction(1, 4), draft_length=1))[0,]
    Fraction(1, 4)
    """
    tables = tables_of(pair)
    horizon = tables.check_horizon(horizon)
    rounds = Rounds(tables, algorithm, horizon, None)
    error: dict[tuple[int, ...], Fraction] = defaultdict(Fraction)

    def complete(tokens: tuple[int, ...], context: int, mass: Fraction) -> None:
        if len(tokens) == horizon:
            error[tokens] += mass
            return
        for token, weight in draw(rounds.row("target", len(tokens), context)):
            if weight:
                complete((*tokens, token), rounds.after(context, token), mass * weight)

    for start, weight in enumerate(tables.initial_weights.tolist()):
        if weight:
            initial = Fraction(weight, tables.unit)
            complete((), start, -initial)
            for result, mass in rounds.law(0, start).items():
                context = start
                for token in result.tokens:
                    context = rounds.after(context, token)
                complete(result.tokens, context, initial * mass)
    return dict(error)


def stop_law(
    rule: Rule,
    structure: Structure,
    target: Sequence[Row],
    draft: Sequence[Row],
    tokens: Sequence[int],
    **parameters: Any,
) -> NDArray[Any]:
    """Return the law of the node and token at which a program stops, given the drafted tokens.

    Parameters
    ----------
    rule
        A rule with a program.
    structure
        What was drafted.
    target, draft, tokens
        Rows after each node, and the token of each; ``tokens[0]`` is not used.
    parameters
        Those of the rule, tables as rows by node.

    Returns
    -------
    numpy.ndarray
        Fractions, shape ``(nodes, tokens)``; after a path that is accepted to its leaf the token is drawn
        from the target row there.

    Examples
    --------
    >>> from specsim.algorithms import get_rule
    >>> from specsim.algorithms.structures import chain
    >>> target, draft = [[Fraction(1, 4), Fraction(3, 4)]] * 2, [[Fraction(3, 4), Fraction(1, 4)]] * 2
    >>> stop_law(get_rule("ratio"), chain(1), target, draft, [-1, 0]).tolist()
    [[Fraction(0, 1), Fraction(2, 3)], [Fraction(1, 12), Fraction(1, 4)]]
    """
    program = get_program(rule).program
    law = _zeros(len(structure.parents), len(target[0]))

    def start(_: dict[int, int]) -> Program:
        return program(structure, target, draft, tokens, **parameters)

    for (node, final, *_kept), _, mass in explore(start, Budget()):
        if final is None:
            law[node] += [mass * probability for probability in target[node]]
        else:
            law[node, final] += mass
    return law


def _zeros(*shape: int) -> NDArray[Any]:
    return np.full(shape, Fraction(0), dtype=object)
