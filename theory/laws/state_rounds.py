"""Rounds of a rule whose past is some numbers per drafted path: the description ``states`` of `laws.Laws`."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm
from specsim.errors import TooLargeError
from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import ones, zeros
from specsim.theory.laws.node_classes import classes_below
from specsim.theory.laws.path_rounds import PathRounds
from specsim.theory.laws.rounds import Cells, Round, Rounds, add_rows, ranked
from specsim.theory.laws.rule_rows import RuleRows
from specsim.theory.step_laws import Numbers, StepLaw

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
    """Drafted paths: the group (start and first context) and context of each, its numbers and probability."""

    group: Integers
    context: Integers
    numbers: Numbers
    weight: Array

    @classmethod
    def joined(cls, parts: list[_Paths]) -> _Paths:
        """Return all paths of several parts."""
        group, context, weight = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("group", "context", "weight")
        )
        numbers = zip(*(part.numbers for part in parts), strict=True)
        return cls(group, context, tuple(np.concatenate(column) for column in numbers), weight)


class _Level(NamedTuple):
    """What happens at the nodes of one depth, by cell (group and context) and token.

    going, ending: a child is accepted, one with children or a leaf. stopped: the round ends by a rejection.
    """

    cells: Integers
    going: Array
    ending: Array
    stopped: Array


class StateRounds(Rounds):
    """Rounds of a rule whose past is a few numbers per path; equal ones in one context are merged.

    What stops at a node does not depend on how much more is drafted, so that a cut round is a part of the
    whole one; rounds from several starts are built together. Nodes with equal subtrees are one class.
    """

    def __init__(self, rows: RuleRows, algorithm: Algorithm, step_law: StepLaw, horizon: int) -> None:
        super().__init__(rows, algorithm, step_law, horizon)
        assert step_law.state is not None
        self._built: dict[int, Round] = {}
        self._cut: dict[tuple[int, int], Round] = {}
        self._work = 0.0
        if self.structure.depth > _LONGEST:
            raise TooLargeError(
                f"{self.structure.depth} tokens per round are too many for this rule; give a draft_length of "
                f"at most {_LONGEST}"
            )
        self._state = step_law.state(self.structure)
        below, self._depths = classes_below(self.structure)
        #: The class of each child, by class.
        self._below = [[child for child, number in each for _ in range(int(number))] for each in below]
        self._pasts = [self._state.pasts(len(each), self.pair.tokens) for each in self._below]

    def round(self, start: int, depth: int) -> Round:
        """Return the round that starts at a position."""
        index = self._rows.index(start)
        if index not in self._built:
            size = 1 if self._rows.stationary else min(self.horizon - start, _TOGETHER)
            self._built = dict(enumerate(self._build(np.arange(index, index + size)), start=index))
            self._cut = {}
        if (index, depth) not in self._cut:
            self._cut[index, depth] = self._cut_round(self._built[index], depth)
        return self._cut[index, depth]

    def sequences(self, start: int, depth: int) -> tuple[list[Array], list[Array]]:
        """Return laws of what a round emits; all drafts are listed."""
        listed = PathRounds(self._rows, self._algorithm, self._law, self.horizon)
        return listed.sequences(start, depth)

    def _cut_round(self, uncut: Round, depth: int) -> Round:
        """Return a round cut at `depth`: a path ends where it would have gone on."""
        if depth:
            last = uncut.taken[depth - 1].landed(self.pair)
        else:
            every = np.arange(self.pair.contexts)
            last = Cells(every, every, ones((len(every),), self._rows.initial))
        return Round(
            uncut.taken[:depth], uncut.stopped[:depth], [*uncut.whole[:depth], last], uncut.landed[:depth]
        )

    def _build(self, starts: Integers) -> Iterator[Round]:
        """Yield the rounds from several starts, uncut."""
        contexts, tokens, depth = self.pair.contexts, self.pair.tokens, self.structure.depth
        initial = self._rows.initial
        groups = len(starts) * contexts
        parts: list[list[_Level]] = [[] for _ in range(depth)]
        widest = [max(self._pasts[c] for c, d in enumerate(self._depths) if d == j) for j in range(depth)]
        paths_of_group = math.prod(float(tokens * pasts) for pasts in widest[:-1])
        together = max(1, int(2**18 / paths_of_group))
        for first in range(0, groups, together):
            some = np.arange(first, min(first + together, groups))
            numbers = self._state.start(ones((len(some),), initial))
            paths = {0: _Paths(some, some % contexts, numbers, ones((len(some),), initial))}
            for level in range(depth):
                self._refuse_states(paths, len(some))
                target, draft, _ = self._rows.at(starts + level)
                found, paths = self._extend(paths, target, draft)
                parts[level].append(found)
        levels = [_Level(*(np.concatenate(column) for column in zip(*part, strict=True))) for part in parts]
        nothing = Cells(starts[:0], starts[:0], initial[:0])
        for index in range(len(starts)):
            built = Round([], [], [nothing], [])
            for each in levels:
                inside = np.searchsorted(each.cells, [index * contexts**2, (index + 1) * contexts**2])
                cells, going, ending, stopped = (values[slice(*inside)] for values in each)
                ends = cells // contexts % contexts, cells % contexts
                built.taken.append(Cells(*ends, going + ending))
                built.stopped.append(Cells(*ends, stopped))
                built.landed.append(built.stopped[-1].landed(self.pair))
                built.whole.append(Cells(*ends, ending).landed(self.pair) if ending.any() else nothing)
            yield built

    def _extend(
        self, paths: dict[int, _Paths], target: Array, draft: Array
    ) -> tuple[_Level, dict[int, _Paths]]:
        """Return what happens at the nodes of one depth, and the paths that are longer by one token."""
        contexts, tokens = self.pair.contexts, self.pair.tokens
        listed = [some.group * contexts + some.context for some in paths.values()]
        cells, place = ranked(np.concatenate([np.zeros(0, dtype=np.int64), *listed]))
        level = _Level(cells, *(zeros((len(cells), tokens), target) for _ in range(3)))
        longer: dict[int, list[_Paths]] = defaultdict(list)
        for c, some in paths.items():
            here, place = place[: len(some.group)], place[len(some.group) :]
            below, size = self._below[c], max(1, _CHUNK // (tokens * self._pasts[c]))
            for first in range(0, len(here), size):
                part = slice(first, first + size)
                group, context, weight = some.group[part], some.context[part], some.weight[part]
                numbers = tuple(number[part, None] for number in some.numbers)
                t, d = (table[group // contexts, context] for table in (target, draft))
                descents, stop = self._state.node(numbers, t, d, len(below))
                # Paths of one chunk lie in a few neighbouring cells where there are many.
                low, high = here[part].min(), here[part].max() + 1
                inside = here[part] - low
                level.stopped[low:high] += add_rows(inside, weight, stop, high - low)
                for child, (mass, after) in zip(below, descents, strict=False):
                    accepted = mass * after[0]
                    into = level.going if self._below[child] else level.ending
                    into[low:high] += add_rows(inside, weight, accepted.sum(axis=1), high - low)
                    if self._below[child]:
                        path, past, token = np.nonzero(accepted)
                        following = self.pair.next_context[context[path], token]
                        every = tuple(number[path, past, token] for number in after)
                        drafted = weight[path] * mass[path, past, token]
                        longer[child].append(_Paths(group[path], following, every, drafted))
        return level, {c: _merge(_Paths.joined(parts), contexts) for c, parts in longer.items()}

    def _refuse_states(self, paths: dict[int, _Paths], first_contexts: int) -> None:
        """Refuse too many paths of the next level, and too many numbers."""
        states = 0
        for c, some in paths.items():
            numbers = len(some.group) * self._pasts[c] * self.pair.tokens
            self._work += numbers
            if any(self._below[child] for child in self._below[c]):
                states += numbers
        most = _MOST_STATES[self.exact], _MOST_WORK[self.exact]
        if states > first_contexts * most[0] or self._work > most[1]:
            raise TooLargeError(
                f"rule {self._algorithm.rule.name} is described by its drafted paths: "
                f"{self.structure.label} with {self.pair.tokens} tokens has {states / first_contexts:.0e} "
                f"or more from each of {self.pair.contexts} contexts (at most {most[0]:.0e}), with "
                f"{self._work:.0e} numbers or more in all (at most {most[1]:.0e}); use a smaller draft or "
                f"pair{', exact=False' if self.exact else ''} or simulation"
            )


def _merge(paths: _Paths, contexts: int) -> _Paths:
    """Merge paths of one group and context whose numbers are equal.

    Floats: those whose single number is 1, which are many; where there are more than a million paths, all
    whose numbers agree to 15 digits.
    """
    cell, numbers, weight = paths.group * contexts + paths.context, paths.numbers, paths.weight
    if weight.dtype == object:
        found: dict[Any, Any] = {}
        for key, mass in zip(zip(cell.tolist(), *numbers, strict=True), weight, strict=True):
            found[key] = found[key] + mass if key in found else mass
        cell = np.array([key[0] for key in found], dtype=np.int64)
        weight = np.array(list(found.values()), dtype=object)
        numbers = tuple(np.array([key[i + 1] for key in found], dtype=object) for i in range(len(numbers)))
    elif len(cell) > 2**20:
        numbers = tuple(np.round(number, 15) for number in numbers)
        order = np.lexsort((*numbers, cell))
        keys = [values[order] for values in (cell, *numbers)]
        fresh = np.append(True, np.any([np.diff(values) != 0 for values in keys], axis=0))
        cell, *columns = (values[fresh] for values in keys)
        numbers, weight = tuple(columns), np.add.reduceat(weight[order], np.flatnonzero(fresh))
    elif len(numbers) == 1:
        whole = numbers[0] == 1
        total = np.bincount(cell[whole], weights=weight[whole])
        cells = np.flatnonzero(total)
        numbers = (np.concatenate([np.ones(len(cells)), numbers[0][~whole]]),)
        cell, weight = (
            np.concatenate([first, rest[~whole]]) for first, rest in ((cells, cell), (total[cells], weight))
        )
    return _Paths(cell // contexts, cell % contexts, numbers, weight)
