"""Rounds of a rule whose past is one number per drafted path: the description ``states`` of `laws.Laws`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm
from specsim.errors import TooLargeError
from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import ones, zeros
from specsim.theory.laws.path_rounds import PathRounds
from specsim.theory.laws.rounds import Cells, Round, Rounds, add_rows, ranked
from specsim.theory.laws.rule_rows import RuleRows
from specsim.theory.step_laws import State, StepLaw

Integers = NDArray[np.integer]

#: Numbers handled at once.
_CHUNK = 2**17
#: Most paths that are not merged from one first context, and most numbers over all of them.
_MOST_STATES = {False: 2**22, True: 2**17}
_MOST_WORK = {False: 2.0**33, True: 2.0**24}
_LONGEST = 300
#: Rounds of a pair that is not stationary that are built together.
_TOGETHER = 64


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

    def sequences(self, start: int, depth: int) -> tuple[list[Array], list[Array]]:
        """Return laws of what a round emits; all drafts are listed."""
        listed = PathRounds(self._rows, self._algorithm, self._law, self.horizon)
        return listed.sequences(start, depth)

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
        """Return what the next token of each path does, by group and context, and the longer paths."""
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
            taken[low:high] += add_rows(inside, weight, d * self._state.kept(after), high - low)
            stopped[low:high] += add_rows(inside, weight, self._state.stop(number, t, d), high - low)
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
