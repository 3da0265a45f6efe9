"""Whole rounds as matrices over contexts: the descriptions ``states`` and ``paths`` of `laws.laws.Laws`.

A round is linear in the law of its first context. `StateRounds` and `PathRounds` build it from a rule's step
law; `Rounds` carries the law of the first contexts from position to position.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm, Structure
from specsim.errors import TooLargeError
from specsim.theory.arithmetic.numbers import at_token, ones, rational, zeros
from specsim.theory.arithmetic.pair_tables import PairTables
from specsim.theory.laws.counters import Counter, FullCount, Moments, NoCount
from specsim.theory.laws.rule_rows import RuleRows
from specsim.theory.laws.states import PathStates, land, scatter
from specsim.theory.laws.tally import Regime, Tally
from specsim.theory.step_laws import State, StepLaw
from specsim.theory.step_laws.drafts import child_law

Array = NDArray[Any]
Integers = NDArray[np.integer]

#: Most numbers in the matrices of the rounds that are built together.
_MOST_NUMBERS = {False: 2**27, True: 2**21}
#: Numbers handled at once.
_CHUNK = 2**17
#: Most children of the states of one first context, and most numbers over all of them.
_MOST_STATES = {False: 2**22, True: 2**17}
_MOST_WORK = {False: 2.0**33, True: 2.0**24}
#: Most numbers over all drafts of one round.
_MOST_DRAFTS = {False: 6e7, True: 2e6}
#: The same over all rounds, for laws that are enumerated from a text.
_MOST_ENUMERATED = 5e4
_LONGEST = 300
#: Rounds of a pair that is not stationary that are built together.
_TOGETHER = 64


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
    """Return the different numbers in order, and the place of each number among them."""
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

    Attributes
    ----------
    taken, stopped
        Entry j: probability that the token after j accepted ones is accepted, or ends the round by a
        rejection, by context and token.
    whole
        Entry j: probability of the context after a path of j tokens is accepted to its leaf.
    landed
        Entry j: probability of the context after j accepted tokens and a rejection.
    """

    taken: list[Cells]
    stopped: list[Cells]
    whole: list[Cells]
    landed: list[Cells]


class Rounds(ABC):
    """Forward recursion over the starts of rounds.

    Parameters
    ----------
    rows
        Rows and parameters.
    algorithm, step_law, horizon
        What decodes, and how far.
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

    def run(self, count: str = "", *, depths: bool = False, emitted: str = "") -> Tally:
        """Carry the mass over all positions; see `NodeWalk.run`."""
        horizon, pair = self.horizon, self.pair
        counter: Counter = NoCount()
        if count:
            counter = Moments() if count == "moments" else FullCount(horizon)
        initial = self._rows.initial
        starts = zeros((horizon + 1, counter.width, pair.contexts), initial)
        bonus = starts.copy()
        starts[0, 0] = initial
        tally = Tally.empty(pair, horizon, self.structure.depth, self.exact, emitted)
        transitions = zeros((horizon, pair.contexts, pair.tokens), initial) if emitted else starts
        rejected = zeros((horizon,), initial)
        rounds = zeros(tally.rounds.shape, initial)
        for position in range(horizon):
            waiting = bonus[position]
            if waiting.any():
                target = self._rows.at(np.array([position]))[0][0]
                joint = waiting[..., None] * target
                if emitted:
                    transitions[position] += joint[0]
                starts[position + 1] += land(pair, joint)
            mass = starts[position]
            if not mass.any():
                continue
            depth = min(self.structure.depth, horizon - position)
            here = self.round(position, depth)
            if count == "calls":
                mass = counter.shift(mass)
            if emitted:
                for part in (here.taken, here.stopped):
                    for j, cells in enumerate(part):
                        weight = mass[0][cells.origin]
                        transitions[position + j] += _add_rows(
                            cells.context, weight, cells.value, pair.contexts
                        )
            for j, cells in enumerate(here.landed):
                stopped = cells.move(mass)
                rejected[position + j] += stopped[0].sum()
                rounds[position, j] += stopped[0].sum()
                if count in ("rejections", "moments"):
                    stopped = counter.shift(stopped)
                starts[position + j + 1] += stopped
            for j, cells in enumerate(here.whole):
                ended = cells.move(mass)
                rounds[position, j] += ended[0].sum()
                (bonus if self._bonus else starts)[position + j] += ended
            if self._bonus:
                # Nothing is left to emit at the horizon.
                starts[horizon] += bonus[horizon]
                bonus[horizon] = bonus[horizon] * 0
        tally.rejected, tally.rounds = rational(rejected), rational(rounds)
        tally.calls = rounds.sum()
        tally.calls = rational(np.array([tally.calls]))[0] if self.exact else float(tally.calls)
        tally.final = rational(starts[horizon].sum(axis=-1))
        if emitted:
            tally.emitted = rational(transitions.sum(axis=1) if emitted == "tokens" else transitions)
        return tally

    def by_step(self) -> Array | None:
        """No quicker way than `run` is known."""
        return None

    def total(self) -> Any:
        """No quicker way than `run` is known."""
        return None

    def output_law(self) -> Array:
        """Law of the whole sequence, ``(tokens ** horizon,)``; all drafts are listed."""
        states = PathStates(self.pair, self.horizon, self.exact)
        listed = PathRounds(self._rows, self._algorithm, self._law, self.horizon)
        sizes = [len(contexts) for contexts in states.contexts]
        starts = [zeros((size,), self._rows.initial) for size in sizes]
        bonus = [zeros((size,), self._rows.initial) for size in sizes]
        starts[0] = states.start(self._rows.initial)
        for position in range(self.horizon):
            if bonus[position].any():
                target = self._rows.at(np.array([position]))[0][0]
                starts[position + 1] = (
                    starts[position + 1] + states.move(position, bonus[position][None], target)[0]
                )
            if not starts[position].any():
                continue
            depth = min(self.structure.depth, self.horizon - position)
            ended, whole = listed.sequences(position, depth)
            mass, contexts = starts[position][:, None], states.contexts[position]
            for emits, law in enumerate(ended, start=1):
                starts[position + emits] = starts[position + emits] + (mass * law[contexts]).ravel()
            ends = bonus if self._bonus else starts
            for emits, law in enumerate(whole):
                ends[position + emits] = ends[position + emits] + (mass * law[contexts]).ravel()
        return rational(states.sequences(starts[-1] + bonus[-1]))

    def regime(self) -> Regime:
        """Return one uncut round of a stationary pair from every context; see `Regime`."""
        here = self.round(0, self.structure.depth)
        contexts, initial = self.pair.contexts, self._rows.initial
        target = self._rows.at(np.array([0]))[0][0]
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


@dataclass(frozen=True)
class _Paths:
    """Drafted paths: the group (start and first context) and context of each, its number and probability."""

    group: Integers
    context: Integers
    number: Array
    weight: Array

    @classmethod
    def joined(cls, parts: list[_Paths]) -> _Paths:
        """Return all paths of several parts."""
        names = ("group", "context", "number", "weight")
        return cls(*(np.concatenate([vars(part)[name] for part in parts]) for name in names))


class StateRounds(Rounds):
    """Rounds of a rule whose past is one number per path; equal numbers in one context are merged.

    What stops at a node does not depend on how much more is drafted, so that a cut round is a part of the
    whole one; rounds from several starts are built together.
    """

    def __init__(self, rows: RuleRows, algorithm: Algorithm, step_law: StepLaw, horizon: int) -> None:
        super().__init__(rows, algorithm, step_law, horizon)
        assert step_law.state is not None
        self._state: State = step_law.state
        self._built: dict[int, tuple[list[Cells], list[Cells], list[Cells]]] = {}
        self._cut: dict[tuple[int, int], Round] = {}
        self._work = 0.0
        if self.structure.depth > _LONGEST:
            raise TooLargeError(
                f"{self.structure.depth} tokens per round are too many for this rule; give a draft_length of "
                f"at most {_LONGEST}"
            )

    def round(self, start: int, depth: int) -> Round:
        """Return the round that starts at a position."""
        index = self._rows.index(start)
        if index not in self._built:
            size = 1 if self._rows.stationary else min(self.horizon - start, _TOGETHER)
            self._built = dict(enumerate(self._build(np.arange(index, index + size)), start=index))
            self._cut = {}
        if (index, depth) not in self._cut:
            self._cut[index, depth] = self._cut_round(index, depth)
        return self._cut[index, depth]

    def _cut_round(self, index: int, depth: int) -> Round:
        """Return a round cut at `depth`: a path ends where it would have gone on."""
        taken, stopped, landed = self._built[index]
        every = np.arange(self.pair.contexts)
        here = Cells(every, every, ones((len(every),), self._rows.initial))
        nothing = Cells(every[:0], every[:0], here.value[:0])
        whole = [nothing] * depth + [taken[depth - 1].landed(self.pair) if depth else here]
        return Round(taken[:depth], stopped[:depth], whole, landed[:depth])

    def _build(self, starts: Integers) -> Iterator[tuple[list[Cells], list[Cells], list[Cells]]]:
        """Yield taken, stopped and landed cells of the rounds from several starts, uncut."""
        contexts, tokens, depth = self.pair.contexts, self.pair.tokens, self.structure.depth
        initial = self._rows.initial
        groups = len(starts) * contexts
        parts: list[list[tuple[Integers, Array, Array]]] = [[] for _ in range(depth)]
        together = max(1, 2**18 // tokens ** min(depth - 1, 18)) if depth else groups
        for first in range(0, groups, together):
            some = np.arange(first, min(first + together, groups))
            number = self._state.start(ones((len(some),), initial))
            paths = _Paths(some, some % contexts, number, ones((len(some),), initial))
            for level in range(depth):
                more = level < depth - 1
                reached = len(paths.group) * (tokens if more else 1)
                self._refuse_states(reached, len(some), len(paths.group) * tokens)
                target, draft, _ = self._rows.at(starts + level)
                cells, taken, stopped, paths = self._extend(paths, target, draft, more)
                parts[level].append((cells, taken, stopped))
        levels = [[np.concatenate(column) for column in zip(*part, strict=True)] for part in parts]
        for index in range(len(starts)):
            found: tuple[list[Cells], list[Cells], list[Cells]] = ([], [], [])
            for cells, taken, stopped in levels:
                here = slice(*np.searchsorted(cells, [index * contexts**2, (index + 1) * contexts**2]))
                origin, context = cells[here] // contexts % contexts, cells[here] % contexts
                found[0].append(Cells(origin, context, taken[here]))
                found[1].append(Cells(origin, context, stopped[here]))
                found[2].append(found[1][-1].landed(self.pair))
            yield found

    def _extend(
        self, paths: _Paths, target: Array, draft: Array, more: bool
    ) -> tuple[Integers, Array, Array, _Paths]:
        """Return what the next token of each path does, by group and context, and the longer paths.

        Returns
        -------
        Cells (group times contexts plus context), in order; taken and stopped ``(cells, tokens)``; paths.
        """
        contexts, size = self.pair.contexts, max(1, _CHUNK // self.pair.tokens)
        cells, place = ranked(paths.group * contexts + paths.context)
        taken = zeros((len(cells), self.pair.tokens), target)
        stopped, longer = taken.copy(), []
        for first in range(0, len(place), size):
            part = slice(first, first + size)
            group, context = paths.group[part], paths.context[part]
            number, weight = paths.number[part, None], paths.weight[part]
            t, d = (table[group // contexts, context] for table in (target, draft))
            after = self._state.advance(number, t, d)
            # Paths of one chunk lie in a few neighbouring cells where there are many.
            low = place[part].min()
            high = place[part].max() + 1
            inside = place[part] - low
            taken[low:high] += _add_rows(inside, weight, d * self._state.kept(after), high - low)
            stopped[low:high] += _add_rows(inside, weight, self._state.stop(number, t, d), high - low)
            if more:
                path, token = np.nonzero(d)
                following = self.pair.next_context[context[path], token]
                drafted = weight[path] * d[path, token]
                longer.append(_Paths(group[path], following, after[path, token], drafted))
        return cells, taken, stopped, _merge(_Paths.joined(longer), contexts) if more else paths

    def _refuse_states(self, states: int, first_contexts: int, work: int) -> None:
        self._work += work
        if states > first_contexts * _MOST_STATES[self.exact] or self._work > _MOST_WORK[self.exact]:
            raise TooLargeError(
                f"draft_length {self.structure.depth} with {self.pair.tokens} tokens and "
                f"{self.pair.contexts} contexts has {states} states or more; use a shorter draft, a smaller "
                f"pair{' or exact=False' if self.exact else ''}"
            )


class PathRounds(Rounds):
    """Rounds of any rule: its law is added up over all drafts."""

    def __init__(self, rows: RuleRows, algorithm: Algorithm, step_law: StepLaw, horizon: int) -> None:
        super().__init__(rows, algorithm, step_law, horizon)
        self._built: dict[tuple[int, int], Round] = {}

    def round(self, start: int, depth: int) -> Round:
        """Return the round that starts at a position, with a structure cut at `depth`."""
        key = (self._rows.index(start), depth)
        if key not in self._built:
            self._refuse_contexts()
            if self._numbers(len(self._built) + 1) > _MOST_NUMBERS[self.exact]:
                self._built.clear()
            self._built[key] = self._build(start, self.structure.cut(depth))
        return self._built[key]

    def sequences(self, start: int, depth: int) -> tuple[list[Array], list[Array]]:
        """Return laws of what a round emits, ``(contexts, tokens ** emitted)``, by number of tokens.

        The first list is of rounds that end by a rejection after 1, 2, ... tokens, the second of paths
        accepted to a leaf of depth 0, 1, ....
        """
        structure, contexts, tokens = self.structure.cut(depth), self.pair.contexts, self.pair.tokens
        initial = self._rows.initial
        ended = [zeros((contexts, tokens ** (j + 1)), initial) for j in range(depth)]
        whole = [zeros((contexts, tokens**j), initial) for j in range(depth + 1)]
        for drafted, _, table in self._drafts(start, structure):
            every = np.arange(contexts)[:, None]
            for node, j in enumerate(structure.depths):
                number = np.zeros(drafted.shape[0], dtype=np.int64)
                for above in structure.path(node):
                    number = number * tokens + drafted[:, above]
                if structure.children(node):
                    index = (every * tokens**j + number)[..., None] * tokens + np.arange(tokens)
                    ended[j] += _scatter_into(ended[j], index, table[:, :, node])
                else:
                    index = every * tokens**j + number
                    whole[j] += _scatter_into(whole[j], index, table[:, :, node].sum(axis=-1))
        return ended, whole

    def _build(self, start: int, structure: Structure) -> Round:
        pair, depth, initial = self.pair, structure.depth, self._rows.initial
        shape = (pair.contexts, pair.contexts, pair.tokens)
        taken, stopped = zeros((depth, *shape), initial), zeros((depth, *shape), initial)
        whole = zeros((depth + 1, *shape[:2]), initial)
        origin = np.arange(pair.contexts)[:, None] * pair.contexts
        for drafted, contexts, table in self._drafts(start, structure):
            reached = table.sum(axis=-1)
            for node in reversed(range(len(structure.parents))):
                j, parent = structure.depths[node], structure.parents[node]
                cell = origin + contexts[:, :, node]
                if structure.children(node):
                    index = cell[..., None] * pair.tokens + np.arange(pair.tokens)
                    stopped[j] += _scatter_into(stopped[j], index, table[:, :, node])
                else:
                    whole[j] += _scatter_into(whole[j], cell, reached[:, :, node])
                if node:
                    index = (origin + contexts[:, :, parent]) * pair.tokens + drafted[:, node]
                    taken[j - 1] += _scatter_into(taken[j - 1], index, reached[:, :, node])
                    reached[:, :, parent] += reached[:, :, node]
        ended = self._cells(stopped)
        return Round(self._cells(taken), ended, self._cells(whole), [cells.landed(pair) for cells in ended])

    def _cells(self, matrices: Array) -> list[Cells]:
        """Return the cells of matrices ``(depths, contexts, contexts)``, or with tokens behind."""
        found = []
        for matrix in matrices:
            used = matrix != 0
            origin, context = np.nonzero(used.any(axis=-1) if used.ndim == 3 else used)
            found.append(Cells(origin, context, matrix[origin, context]))
        return found

    def _numbers(self, rounds: int) -> int:
        """Return how many numbers the matrices of so many rounds have."""
        return 2 * rounds * (self.structure.depth + 1) * self.pair.contexts**2 * (self.pair.tokens + 1)

    def _refuse_contexts(self) -> None:
        if self._numbers(1) > _MOST_NUMBERS[self.exact]:
            raise TooLargeError(
                f"rounds of {self.structure.depth} drafted tokens between {self.pair.contexts} contexts have "
                f"matrices of {self._numbers(1)} numbers; use a shorter draft or a pair with fewer contexts"
            )

    def _drafts(self, start: int, structure: Structure) -> Iterator[tuple[Integers, Integers, Array]]:
        """Yield all drafts in parts: tokens ``(n, N)``, contexts after each node ``(contexts, n, N)``, and
        the rule's law times the probability of the draft, ``(contexts, n, N, V)``.
        """  # noqa: D205
        pair = self.pair
        self._refuse_drafts(structure)
        nodes, tokens = len(structure.parents), pair.tokens
        target, draft, parameters = self._rows.at(start + np.arange(structure.depth + 1))
        drafts = tokens ** (nodes - 1)
        size = max(1, 8 * _CHUNK // (pair.contexts * nodes * tokens))
        depths = np.array(structure.depths)
        for first in range(0, drafts, size):
            number = np.arange(first, min(first + size, drafts))
            drafted = np.zeros((len(number), nodes), dtype=np.int64)
            for node in range(1, nodes):
                drafted[:, node] = number // tokens ** (nodes - 1 - node) % tokens
            contexts = np.empty((pair.contexts, len(number), nodes), dtype=np.int64)
            contexts[:, :, 0] = np.arange(pair.contexts)[:, None]
            for node in range(1, nodes):
                contexts[:, :, node] = pair.next_context[
                    contexts[:, :, structure.parents[node]], drafted[:, node]
                ]

            def rows(table: Any, contexts: Integers = contexts) -> Any:
                return table[depths, contexts] if isinstance(table, np.ndarray) else table

            mass = ones(contexts.shape[:2], self._rows.initial)
            for node in range(nodes):
                below = structure.children(node)
                for child in below:
                    before = np.broadcast_to(
                        drafted[:, below.start : child], (*mass.shape, child - below.start)
                    )
                    row = draft[depths[node], contexts[:, :, node]]
                    law = child_law(row, before, len(below), self._algorithm.drawing, self._law.next_child)
                    mass = mass * at_token(law, drafted[:, child : child + 1])[..., 0]
            kept = np.flatnonzero((mass != 0).any(axis=0))
            drafted, contexts, mass = drafted[kept], contexts[:, kept], mass[:, kept]
            every = np.broadcast_to(drafted, contexts.shape)
            options = {name: rows(value, contexts) for name, value in parameters.items()}
            table = self._law.law(structure, rows(target, contexts), rows(draft, contexts), every, **options)
            yield drafted, contexts, table * mass[..., None, None]

    def _refuse_drafts(self, structure: Structure) -> None:
        contexts, tokens, nodes = self.pair.contexts, self.pair.tokens, structure.size
        numbers = contexts * tokens**nodes * nodes if nodes < 400 else np.inf
        rounds = 1 if self._rows.stationary else self.horizon
        if self._law.enumerated and numbers * rounds > _MOST_ENUMERATED:
            raise TooLargeError(
                f"rule {self._algorithm.rule.name} is known by its text alone, which is enumerated draft by "
                f"draft: {numbers * rounds:.0e} numbers here (at most {_MOST_ENUMERATED:.0e}); use a smaller "
                "structure or pair, give the rule its law=, or simulate"
            )
        most = _MOST_DRAFTS[self.exact]
        if numbers > most or numbers * rounds > 20 * most:
            raise TooLargeError(
                f"rule {self._algorithm.rule.name} is described by all drafts: {nodes - 1} drafted tokens "
                f"with {tokens} tokens and {contexts} contexts are {numbers:.0e} numbers in each of {rounds} "
                f"rounds (at most {most:.0e}, {20 * most:.0e} in all); use a smaller structure or pair, or "
                "simulate"
            )


def _add_rows(index: Integers, weights: Array, rows: Array, size: int) -> Array:
    """Add weighted rows ``(n, V)`` up by index, ``(size, V)``."""
    if weights.dtype != object:
        from scipy.sparse import csr_array

        return csr_array((weights, (index, np.arange(len(index)))), shape=(size, len(index))) @ rows
    found = zeros((size, rows.shape[1]), rows)
    np.add.at(found, index, weights[:, None] * rows)
    return found


def _scatter_into(shape: Array, index: Integers, values: Array) -> Array:
    return scatter(index.ravel(), values.ravel(), shape.size).reshape(shape.shape)


def _merge(paths: _Paths, contexts: int) -> _Paths:
    """Merge paths of one group and context whose numbers are equal.

    Floats: those with the numbers 0 and 1, which are many; where there are more than a million paths, all
    whose numbers agree to 15 digits.
    """
    cell, number, weight = paths.group * contexts + paths.context, paths.number, paths.weight
    if number.dtype == object:
        found: dict[Any, Any] = {}
        for key, mass in zip(zip(cell.tolist(), number, strict=True), weight, strict=True):
            found[key] = found[key] + mass if key in found else mass
        cell = np.array([key[0] for key in found], dtype=np.int64)
        number, weight = np.empty(len(found), dtype=object), np.empty(len(found), dtype=object)
        number[:], weight[:] = [key[1] for key in found], list(found.values())
        return _Paths(cell // contexts, cell % contexts, number, weight)
    merged = []
    for value in (0.0, 1.0):
        equal = number == value
        total = np.bincount(cell[equal], weights=weight[equal])
        cells = np.flatnonzero(total)
        merged.append(_Paths(cells // contexts, cells % contexts, np.full(len(cells), value), total[cells]))
        cell, number, weight = cell[~equal], number[~equal], weight[~equal]
    if len(cell) > 2**20:
        number = np.round(number, 15)
        order = np.lexsort((number, cell))
        cell, number, weight = cell[order], number[order], weight[order]
        fresh = np.flatnonzero(np.append(True, (np.diff(cell) != 0) | (np.diff(number) != 0)))
        cell, number, weight = cell[fresh], number[fresh], np.add.reduceat(weight, fresh)
    return _Paths.joined([*merged, _Paths(cell // contexts, cell % contexts, number, weight)])
