"""Brute force in rationals: the joint law of everything that one run of a published algorithm can do.

An algorithm is enumerated from its program (`specsim.theory.programs`) and the way its drafts are drawn:
every draft, coin, residual and bonus is a finite law, and each sequence of values of positive probability is
run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm, Rule
from specsim.algorithms.rule import Drawing
from specsim.algorithms.structures import Structure
from specsim.errors import InputError, TooLargeError, UnsupportedError
from specsim.theory.arithmetic.pair_tables import Pair, PairTables, tables_of
from specsim.theory.programs import get_program
from specsim.theory.programs.steps import Law, Program, Row, draw, without

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
    counts
        What `round_counts` returns.
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
    algorithm: Algorithm,
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
        that a part discarded unread is left out. Defaults to None: all where the number of drafts is small.
        The two give the same law.

    Returns
    -------
    Outcomes

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
    paths = pair.tokens**horizon
    if paths > _MAX_PATHS:
        raise TooLargeError(
            f"horizon is {horizon} with {pair.tokens} tokens: {paths} sequences to enumerate; "
            f"at most {_MAX_PATHS}, so use the law functions of specsim.theory instead"
        )
    rounds = _Rounds(tables, algorithm, horizon, full_drafts)
    counts = _zeros(horizon, horizon + 1)
    # One dictionary per position: a round emits at least one token, so positions are met in order.
    states: list[dict[tuple[int, Outcome], Fraction]] = [defaultdict(Fraction) for _ in range(horizon + 1)]
    for context, weight in enumerate(tables.initial_weights.tolist()):
        if weight:
            states[0][context, Outcome(0, 0, 0, ())] += Fraction(weight, tables.unit)
    for position in range(horizon):
        for (context, outcome), probability in states[position].items():
            for result, weight in rounds.law(position, context).items():
                following, after = context, outcome.path
                for token in result.tokens:
                    following = rounds.after(following, token)
                    after = after * pair.tokens + token
                end = position + len(result.tokens)
                mask = outcome.rejected | (int(result.rejected) << (end - 1))
                if end == horizon:
                    following = 0  # the context after the last token is never used
                new = Outcome(after, mask, outcome.calls + 1, (*outcome.accepted_lengths, result.accepted))
                states[end][following, new] += probability * weight
                counts[position, result.accepted] += probability * weight
        if sum(map(len, states)) > _MAX_STATES:
            raise TooLargeError(f"horizon is {horizon}: more than {_MAX_STATES} outcomes; use a smaller one")
        states[position].clear()
    law: dict[Outcome, Fraction] = {outcome: p for (_, outcome), p in states[horizon].items()}
    return Outcomes(pair.tokens, horizon, law, counts)


def round_bias(pair: Pair, algorithm: Algorithm, *, horizon: int | None = None) -> Fraction:
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
    pair: Pair, algorithm: Algorithm, *, horizon: int | None = None
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
    rounds = _Rounds(tables, algorithm, horizon, None)
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
        found: Program = program(structure, target, draft, tokens, **parameters)
        return found

    for (node, final), _, mass in _explore(start, _nothing_to_draw, _Budget().spend):
        if final is None:
            law[node] += [mass * probability for probability in target[node]]
        else:
            law[node, final] += mass
    return law


def child_law(row: Row, before: Sequence[int], children: int, drawing: Drawing, program: ModuleType) -> Row:
    """Return the law of the next child of a node, given the tokens of those before.

    Parameters
    ----------
    row
        The draft row of the node.
    before
        Tokens of the children so far.
    children
        How many the node gets.
    drawing
        How they are drawn: see `specsim.algorithms.rule.Drawing`. Distinct children are uniform over the
        untried tokens where the row has no mass left.
    program
        The rule's module, whose ``propose`` serves where it draws its own drafts.
    """
    if drawing == "independent":
        return row
    if children > len(row):
        raise InputError(
            f"a node has {children} children, more than the {len(row)} tokens; draw them independently"
        )
    if drawing == "distinct":
        return without(row, before)
    if drawing == "greedy":
        likeliest = sorted(range(len(row)), key=lambda y: (-row[y], y))[len(before)]
        return [Fraction(y == likeliest) for y in range(len(row))]
    law: Row = program.propose(row, before, children)
    return law


class Round(NamedTuple):
    """What one round did: the tokens it emitted, whether the last was rejected, the accepted length."""

    tokens: tuple[int, ...]
    rejected: bool
    accepted: int


class _Undrawn(Exception):
    """A drafted token was read before it was drawn."""

    def __init__(self, node: int) -> None:
        self.node = node


class _ByNode:
    """Something for each node, found when it is read."""

    def __init__(self, find: Callable[[int], Any]) -> None:
        self._find = find

    def __getitem__(self, node: int) -> Any:
        return self._find(node)


class _Rounds:
    """The law of a round of an algorithm on a pair, by its start."""

    def __init__(
        self, pair: PairTables, algorithm: Algorithm, horizon: int, full_drafts: bool | None
    ) -> None:
        self.algorithm = algorithm
        self.horizon = horizon
        self.budget = _Budget()
        self.program = get_program(algorithm.rule)
        self._pair = pair
        self._full = full_drafts
        self._next = pair.next_context.tolist()
        self._rows: dict[tuple[str, int, int], Row] = {}
        self._laws: dict[tuple[int, int], dict[Round, Fraction]] = {}
        for name, entry in algorithm.rule.parameters.items():
            shape = (len(self._next), pair.tokens)
            if entry.kind == "table":
                table = algorithm.parameters[name]
                if table.shape[1:] != shape or (1 < table.shape[0] < horizon):
                    raise InputError(
                        f"{name} has shape {table.shape}; for this pair give (1 or {horizon} steps, "
                        f"{shape[0]} contexts, {shape[1]} tokens)"
                    )

    def after(self, context: int, token: int) -> int:
        """Context after emitting `token` in `context`."""
        following: int = self._next[context][token]
        return following

    def row(self, table: str, position: int, context: int) -> Row:
        """Row of the target, the draft or a table parameter for the token at `position` (from 0)."""
        key = (table, position, context)
        if key not in self._rows:
            if table in ("target", "draft"):
                weights = self._pair.target_weights if table == "target" else self._pair.draft_weights
                integers = weights[self._pair.step_index(position), context].tolist()
                row = [Fraction(weight, self._pair.unit) for weight in integers]
            else:
                values = self.algorithm.parameters[table]
                row = [Fraction(value) for value in values[position if len(values) > 1 else 0, context]]
            self._rows[key] = row
        return self._rows[key]

    def law(self, position: int, context: int) -> dict[Round, Fraction]:
        """Law of a round that starts at `position` in `context`."""
        if (position, context) not in self._laws:
            law: dict[Round, Fraction] = defaultdict(Fraction)
            for result, probability in self._enumerate(position, context):
                law[result] += probability
            self._laws[position, context] = dict(law)
        return self._laws[position, context]

    def _enumerate(self, position: int, context: int) -> Iterator[tuple[Round, Fraction]]:
        structure = self.algorithm.structure(self.horizon - position)
        if structure.size == float("inf"):
            raise UnsupportedError(
                f"{self.algorithm.label}: enumeration needs a finite number of drafts, use "
                "batch_limit_rejections or a law function for the limit"
            )
        nodes = len(structure.parents)
        full = self._full
        if full is None:
            full = self._pair.tokens ** (nodes - 1) <= _FULL_DRAFTS

        def place(tokens: dict[int, int], node: int) -> int:
            if node == 0:
                return context
            before = place(tokens, structure.parents[node])
            if node not in tokens:
                raise _Undrawn(node)
            return self.after(before, tokens[node])

        def row(table: str, tokens: dict[int, int], node: int) -> Row:
            return self.row(table, position + structure.depths[node], place(tokens, node))

        def token(tokens: dict[int, int], node: int) -> int:
            if node not in tokens:
                raise _Undrawn(node)
            return tokens[node]

        def start(tokens: dict[int, int]) -> Program:
            if full and len(tokens) < nodes - 1:
                raise _Undrawn(len(tokens) + 1)
            program: Program = self.program.program(
                structure,
                _ByNode(partial(row, "target", tokens)),
                _ByNode(partial(row, "draft", tokens)),
                _ByNode(partial(token, tokens)),
                **parameters(tokens),
            )
            return program

        def parameters(tokens: dict[int, int]) -> dict[str, Any]:
            found: dict[str, Any] = {}
            for name, entry in self.algorithm.rule.parameters.items():
                value = self.algorithm.parameters[name]
                if entry.kind == "table":
                    value = _ByNode(partial(row, name, tokens))
                found[name] = Fraction(value) if entry.kind == "number" else value
            return found

        def law_of(tokens: dict[int, int], node: int) -> Law:
            parent = structure.parents[node]
            siblings = structure.children(parent)
            before: list[int] = []
            if self.algorithm.drawing != "independent":
                before = [token(tokens, child) for child in siblings if child < node]
            law = child_law(
                row("draft", tokens, parent), before, len(siblings), self.algorithm.drawing, self.program
            )
            return draw(law)

        for (node, final), tokens, probability in _explore(start, law_of, self.budget.spend):
            path = tuple(tokens[step] for step in structure.path(node))
            end = position + len(path)
            if final is not None:
                yield Round((*path, final), True, len(path)), probability
            elif self.algorithm.whole_bonus and end < self.horizon:
                for bonus, weight in draw(row("target", tokens, node)):
                    if weight:
                        yield Round((*path, bonus), False, len(path)), probability * weight
            else:
                yield Round(path, False, len(path)), probability


def _nothing_to_draw(tokens: dict[int, int], node: int) -> Law:
    raise AssertionError("all drafted tokens are given")


def _explore(
    start: Callable[[dict[int, int]], Program],
    law_of: Callable[[dict[int, int], int], Law],
    spend: Callable[[], None],
) -> Iterator[tuple[tuple[int, int | None], dict[int, int], Fraction]]:
    """Run a program along every sequence of draws of positive probability.

    Parameters
    ----------
    start
        Starts a fresh run with the drafted tokens so far; reading another raises `_Undrawn`.
    law_of
        Law of the token of a node, given those drawn before.
    spend
        Called once per branch; raises when the budget is used up.
    """
    open_branches: list[tuple[dict[int, int], tuple[Any, ...], Fraction]] = [({}, (), Fraction(1))]
    while open_branches:
        tokens, script, probability = open_branches.pop()
        spend()
        try:
            law = _resume(start(tokens), script)
        except StopIteration as stop:
            yield stop.value, tokens, probability
        except _Undrawn as undrawn:
            node, drawn = _first(undrawn.node, tokens, law_of)
            for value, weight in drawn:
                if weight:
                    open_branches.append(({**tokens, node: value}, script, probability * weight))
        else:
            for value, weight in law:
                if weight:
                    open_branches.append((tokens, (*script, value), probability * weight))


def _resume(run: Generator[Law, Any, Any], script: tuple[Any, ...]) -> Law:
    law = next(run)
    for value in script:
        law = run.send(value)
    return law


def _first(
    node: int, tokens: dict[int, int], law_of: Callable[[dict[int, int], int], Law]
) -> tuple[int, Law]:
    """Return the first node whose token has to be drawn for that of `node`, and its law."""
    while True:
        try:
            return node, law_of(tokens, node)
        except _Undrawn as earlier:
            node = earlier.node


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
