"""Rounds of any rule, added up over all drafts: the description ``paths`` of `laws.Laws`."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm, Structure
from specsim.errors import TooLargeError
from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, ones, scatter, zeros
from specsim.theory.laws.rounds import Cells, Round, Rounds
from specsim.theory.laws.rule_rows import RuleRows
from specsim.theory.step_laws import StepLaw
from specsim.theory.step_laws.drafts import child_law

Integers = NDArray[np.integer]

#: Numbers handled at once.
_CHUNK = 2**20
#: Most numbers in the matrices of all rounds that are kept, and over all drafts of one round.
_MOST_NUMBERS = {False: 2**27, True: 2**21}
_MOST_DRAFTS = {False: 6e7, True: 2e6}
#: The same over all rounds, for laws that are enumerated from a text.
_MOST_ENUMERATED = 5e4


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
        """Return laws of what a round emits; see `Rounds.sequences`."""
        structure, contexts, tokens = self.structure.cut(depth), self.pair.contexts, self.pair.tokens
        initial = self._rows.initial
        ended = [zeros((contexts, tokens ** (j + 1)), initial) for j in range(depth)]
        whole = [zeros((contexts, tokens**j), initial) for j in range(depth + 1)]
        for drafted, _, table in self._drafts(start, structure):
            every = np.arange(contexts)[:, None]
            for node, j in enumerate(structure.depths):
                number = np.zeros(drafted.shape[:2], dtype=np.int64)
                for above in structure.path(node):
                    number = number * tokens + drafted[:, :, above]
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
        origin = np.arange(pair.contexts)[:, None, None] * pair.contexts
        parents, every = np.array(structure.parents), np.arange(pair.tokens)
        inner = np.array([bool(structure.children(node)) for node in range(len(parents))])
        for drafted, contexts, table in self._drafts(start, structure):
            reached = table.sum(axis=-1)
            for node in reversed(range(1, len(parents))):
                reached[:, :, parents[node]] += reached[:, :, node]
            for j in range(depth + 1):
                nodes = np.flatnonzero(np.array(structure.depths) == j)
                going, leaves = nodes[inner[nodes]], nodes[~inner[nodes]]
                cells = (origin + contexts[:, :, going])[..., None] * pair.tokens + every
                whole[j] += _scatter_into(whole[j], origin + contexts[:, :, leaves], reached[:, :, leaves])
                if j < depth:
                    stopped[j] += _scatter_into(stopped[j], cells, table[:, :, going])
                if j:
                    cells = (origin + contexts[:, :, parents[nodes]]) * pair.tokens + drafted[:, :, nodes]
                    taken[j - 1] += _scatter_into(taken[j - 1], cells, reached[:, :, nodes])
        ended = self._cells(stopped)
        return Round(self._cells(taken), ended, self._cells(whole), [cells.landed(pair) for cells in ended])

    def _cells(self, matrices: Array) -> list[Cells]:
        """Return the cells of matrices ``(depths, contexts, contexts)``, or with tokens as the last axis."""
        found = []
        for matrix in matrices:
            used = matrix != 0
            origin, context = np.nonzero(used.any(axis=-1) if used.ndim == 3 else used)
            found.append(Cells(origin, context, matrix[origin, context]))
        return found

    def _numbers(self, rounds: int) -> int:
        """Return how many numbers the matrices of a number of rounds have."""
        return 2 * rounds * (self.structure.depth + 1) * self.pair.contexts**2 * (self.pair.tokens + 1)

    def _refuse_contexts(self) -> None:
        if self._numbers(1) > _MOST_NUMBERS[self.exact]:
            raise TooLargeError(
                f"rounds of {self.structure.depth} drafted tokens between {self.pair.contexts} contexts have "
                f"matrices of {self._numbers(1)} numbers; use a shorter draft or a pair with fewer contexts"
            )

    def _drafts(self, start: int, structure: Structure) -> Iterator[tuple[Integers, Integers, Array]]:
        """Yield all drafts in parts, by first context: the tokens of nodes ``(contexts, n, N)``, the contexts
        after them, and the rule's law times the probability of the draft, ``(contexts, n, N, V)``.
        """  # noqa: D205
        pair = self.pair
        self._refuse_drafts(structure)
        nodes, tokens = len(structure.parents), pair.tokens
        target, draft, parameters = self._rows.at(start + np.arange(structure.depth + 1))
        drawing, parents, depths = self._algorithm.drawing, structure.parents, np.array(structure.depths)
        drafts = 1 if drawing == "greedy" else tokens ** (nodes - 1)
        size = max(1, _CHUNK // (pair.contexts * nodes * tokens))
        for first in range(0, drafts, size):
            number = np.arange(first, min(first + size, drafts))
            drafted, contexts = np.zeros((2, pair.contexts, len(number), nodes), dtype=np.int64)
            contexts[:, :, 0] = np.arange(pair.contexts)[:, None]
            mass = ones(contexts.shape[:2], self._rows.initial)
            for node in range(1, nodes):
                here, siblings = contexts[:, :, parents[node]], structure.children(parents[node])
                law = child_law(
                    draft[depths[node] - 1, here],
                    drafted[:, :, siblings.start : node],
                    len(siblings),
                    drawing,
                    self._law.next_child,
                )
                if drawing == "greedy":
                    drafted[:, :, node] = law.argmax(axis=-1)
                else:
                    drafted[:, :, node] = number // tokens ** (nodes - 1 - node) % tokens
                contexts[:, :, node] = pair.next_context[here, drafted[:, :, node]]
                mass = mass * at_token(law, drafted[:, :, node, None])[..., 0]
            kept = np.flatnonzero((mass != 0).any(axis=0))
            drafted, contexts, mass = drafted[:, kept], contexts[:, kept], mass[:, kept]

            def rows(table: Any, contexts: Integers = contexts) -> Any:
                return table[depths, contexts] if isinstance(table, np.ndarray) else table

            options = {name: rows(value, contexts) for name, value in parameters.items()}
            table = self._law.law(
                structure, rows(target, contexts), rows(draft, contexts), drafted, **options
            )
            yield drafted, contexts, table * mass[..., None, None]

    def _refuse_drafts(self, structure: Structure) -> None:
        contexts, tokens, nodes = self.pair.contexts, self.pair.tokens, structure.size
        if self._algorithm.drawing == "greedy":
            numbers = contexts * tokens * nodes
        else:
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


def _scatter_into(shape: Array, index: Integers, values: Array) -> Array:
    return scatter(index.ravel(), values.ravel(), shape.size).reshape(shape.shape)
