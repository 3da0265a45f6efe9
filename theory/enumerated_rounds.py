"""One round of a published algorithm along every sequence of draws: drafts, coins, residuals and bonus."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

from specsim.algorithms import Algorithm
from specsim.algorithms.rule import Drawing
from specsim.algorithms.structures import Structure
from specsim.errors import InputError, TooLargeError, UnsupportedError
from specsim.grammar import as_algorithm
from specsim.theory.arithmetic.pair_tables import PairTables
from specsim.theory.programs import get_program
from specsim.theory.programs.steps import Law, Program, Row, draw, without

_MAX_BRANCHES = 300_000
_FULL_DRAFTS = 300


Kept = tuple[Fraction, ...]


class Round(NamedTuple):
    """What one round did: the tokens it emitted, whether the last was rejected, the accepted length.

    ``kept`` is what the rule keeps for the next round; most keep nothing.
    """

    tokens: tuple[int, ...]
    rejected: bool
    accepted: int
    kept: Kept = ()


class Rounds:
    """The law of a round of an algorithm on a pair, by its start.

    pair, algorithm, horizon, full_drafts: as in `specsim.theory.enumerate_outcomes`.
    """

    def __init__(
        self, pair: PairTables, algorithm: Algorithm | str, horizon: int, full_drafts: bool | None
    ) -> None:
        self.algorithm = algorithm = as_algorithm(algorithm)
        self.horizon = horizon
        self.pair = pair
        self.program = get_program(algorithm.rule)
        self._full = full_drafts
        self._budget = Budget()
        self._next = pair.next_context.tolist()
        self._rows: dict[tuple[str, int, int], Row] = {}
        self._laws: dict[tuple[int, int, Kept], dict[Round, Fraction]] = {}
        shape = (len(self._next), pair.tokens)
        for name, entry in algorithm.rule.parameters.items():
            if entry.kind == "table":
                table = algorithm.parameters[name]
                if table.shape[1:] != shape or (1 < table.shape[0] < horizon):
                    raise InputError(
                        f"{name} has shape {table.shape}; for this pair give (1 or {horizon} steps, "
                        f"{shape[0]} contexts, {shape[1]} tokens)"
                    )

    def after(self, context: int, token: int) -> int:
        """Context after emitting `token` in `context`."""
        return self._next[context][token]

    def row(self, table: str, position: int, context: int) -> Row:
        """Row of the target, the draft or a table parameter for the token at `position` (from 0)."""
        key = (table, position, context)
        if key not in self._rows:
            if table in ("target", "draft"):
                weights = self.pair.target_weights if table == "target" else self.pair.draft_weights
                integers = weights[self.pair.step_index(position), context].tolist()
                row = [Fraction(weight, self.pair.unit) for weight in integers]
            else:
                values = self.algorithm.parameters[table]
                row = [Fraction(value) for value in values[position if len(values) > 1 else 0, context]]
            self._rows[key] = row
        return self._rows[key]

    def law(self, position: int, context: int, kept: Kept = ()) -> dict[Round, Fraction]:
        """Law of a round that starts at `position` in `context`, after rounds that left `kept`."""
        key = (position, context, kept)
        if key not in self._laws:
            law: dict[Round, Fraction] = defaultdict(Fraction)
            for result, probability in self._enumerate(position, context, kept):
                law[result] += probability
            self._laws[key] = dict(law)
        return self._laws[key]

    def _enumerate(self, position: int, context: int, kept: Kept) -> Iterator[tuple[Round, Fraction]]:
        structure = self.algorithm.structure(self.horizon - position)
        if structure.size == math.inf:
            raise UnsupportedError(
                f"{self.algorithm.label}: enumeration needs a finite number of drafts, use "
                "batch_limit_rejections or a law function for the limit"
            )
        draft = _Draft(self, structure, position, context)
        full = self._full
        if full is None:
            full = self.pair.tokens ** (len(structure.parents) - 1) <= _FULL_DRAFTS

        def start(tokens: dict[int, int]) -> Program:
            if full and len(tokens) < len(structure.parents) - 1:
                raise Undrawn(len(tokens) + 1)
            return draft.program(tokens, kept)

        for (node, final, *left), tokens, probability in explore(start, self._budget, draft.next_token):
            path = tuple(tokens[step] for step in structure.path(node))
            end = position + len(path)
            if final is not None:
                yield Round((*path, final), True, len(path), *left), probability
            elif self.algorithm.whole_bonus and end < self.horizon:
                for bonus, weight in draw(draft.row("target", tokens, node)):
                    if weight:
                        yield Round((*path, bonus), False, len(path), *left), probability * weight
            else:
                yield Round(path, False, len(path), *left), probability


class Undrawn(Exception):
    """A drafted token was read before it was drawn."""

    def __init__(self, node: int) -> None:
        self.node = node


class _ByNode:
    """What a node has, found when it is read."""

    def __init__(self, find: Callable[[int], Any]) -> None:
        self._find = find

    def __getitem__(self, node: int) -> Any:
        return self._find(node)


class _Draft:
    """The draft of one round; what depends on a token that is not drawn yet raises `Undrawn`."""

    def __init__(self, rounds: Rounds, structure: Structure, position: int, context: int) -> None:
        self._rounds = rounds
        self._structure = structure
        self._position = position
        self._context = context

    def token(self, tokens: dict[int, int], node: int) -> int:
        """Token of a node."""
        if node not in tokens:
            raise Undrawn(node)
        return tokens[node]

    def context(self, tokens: dict[int, int], node: int) -> int:
        """Context after a node."""
        if node == 0:
            return self._context
        before = self.context(tokens, self._structure.parents[node])
        return self._rounds.after(before, self.token(tokens, node))

    def row(self, table: str, tokens: dict[int, int], node: int) -> Row:
        """Row of a table after a node."""
        position = self._position + self._structure.depths[node]
        return self._rounds.row(table, position, self.context(tokens, node))

    def program(self, tokens: dict[int, int], kept: Kept) -> Program:
        """Start the rule's program."""
        algorithm = self._rounds.algorithm
        parameters = dict(algorithm.parameters)
        if kept:
            parameters["kept"] = kept
        for name, entry in algorithm.rule.parameters.items():
            if entry.kind == "table":
                parameters[name] = _ByNode(partial(self.row, name, tokens))
            elif entry.kind == "number":
                parameters[name] = Fraction(parameters[name])
        rows = (_ByNode(partial(self.row, table, tokens)) for table in ("target", "draft"))
        found: Program = self._rounds.program.program(
            self._structure, *rows, _ByNode(partial(self.token, tokens)), **parameters
        )
        return found

    def next_token(self, tokens: dict[int, int], node: int) -> tuple[int, Law]:
        """Return the node that has to be drawn first so that `node` can be, and the law of its token."""
        drawing = self._rounds.algorithm.drawing
        parent = self._structure.parents[node]
        siblings = self._structure.children(parent)
        try:
            row = self.row("draft", tokens, parent)
            elder = [] if drawing == "independent" else [child for child in siblings if child < node]
            before = [self.token(tokens, child) for child in elder]
        except Undrawn as earlier:
            return self.next_token(tokens, earlier.node)
        return node, draw(child_law(row, before, len(siblings), drawing, self._rounds.program))


def child_law(row: Row, before: Sequence[int], children: int, drawing: Drawing, program: Any) -> Row:
    """Return the law of the next child of a node, given the tokens of those before.

    row: the draft row of the node.
    before: tokens of the children so far.
    children: how many the node gets.
    drawing: how they are drawn: see `specsim.algorithms.rule.Drawing`. Distinct children are uniform over the
        untried tokens where the row has no mass left.
    program: the rule's module, whose ``propose`` serves where it draws its own drafts.
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
    return program.propose(row, before, children)


class Budget:
    """How many branches may still be run."""

    def __init__(self) -> None:
        self.left = _MAX_BRANCHES

    def spend(self) -> None:
        """Count one branch.

        TooLargeError: there were too many.
        """
        self.left -= 1
        if self.left < 0:
            raise TooLargeError(
                f"more than {_MAX_BRANCHES} branches of drafts and coins to enumerate; "
                "use fewer tokens, drafts or positions, or the law functions of specsim.theory"
            )


def explore(
    start: Callable[[dict[int, int]], Program],
    budget: Budget,
    next_token: Callable[[dict[int, int], int], tuple[int, Law]] | None = None,
) -> Iterator[tuple[tuple[Any, ...], dict[int, int], Fraction]]:
    """Run a program along every sequence of draws of positive probability.

    start: starts a fresh run with the drafted tokens so far; reading another raises `Undrawn`.
    budget: of branches.
    next_token: of the tokens so far and the node that was read: the node to draw, and the law of its token.
        Defaults to None: all are given.
    Yields: what the program returned, the tokens that were drawn, and the probability.
    """
    open_branches: list[tuple[dict[int, int], tuple[Any, ...], Fraction]] = [({}, (), Fraction(1))]
    while open_branches:
        tokens, script, probability = open_branches.pop()
        budget.spend()
        try:
            run = start(tokens)
            law = next(run)
            for value in script:
                law = run.send(value)
        except StopIteration as stop:
            yield stop.value, tokens, probability
        except Undrawn as undrawn:
            assert next_token is not None
            node, law = next_token(tokens, undrawn.node)
            for value, weight in law:
                if weight:
                    open_branches.append(({**tokens, node: value}, script, probability * weight))
        else:
            for value, weight in law:
                if weight:
                    open_branches.append((tokens, (*script, value), probability * weight))
