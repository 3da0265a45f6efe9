"""Trees of drafts to test with: shapes, rows that depend on the whole path, drawn tokens, completed laws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from specsim.algorithms import Structure, levels, tree
from specsim.algorithms.rule import Drawing
from specsim.errors import InputError
from specsim.theory.step_laws import greedy_drafts
from specsim.theory.step_laws.drafts import child_law
from specsim.validation.conformance.instances import inverse, number
from specsim.validation.conformance.rules.base import Floats, Integers

#: How the children of a node are drawn, and the catalogue's word for it: ``"with"`` replacement, from the
#: draft row; ``"without"``, from the row less those before it, renormalised (uniform over the untried
#: tokens when nothing is left of the row); ``"greedy"``, the likeliest tokens of the row (lower token first
#: among equals) and one last child from the rest.
DRAWINGS: dict[str, Drawing] = {"with": "independent", "without": "distinct", "greedy": "own"}

#: Shapes by name: children per level, and one tree whose leaves have depths 1, 2 and 3.
SHAPES: dict[str, Structure] = {
    name: levels([int(width) for width in name.split(",")])
    for name in ("1", "1,1", "1,1,1", "2", "3", "2,1", "1,2", "2,2", "3,1", "2,2,1")
}
SHAPES["unbalanced"] = tree((-1, 0, 0, 1, 1, 3))


@dataclass(frozen=True, eq=False)
class PrefixRows:
    """Rows that depend on the whole path.

    tables: ``tables[n]``, shape ``(vocabulary ** n, vocabulary)``: the row after every path of n tokens,
        numbered in base ``vocabulary`` with the first token most significant.
    """

    tables: tuple[Floats, ...]

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return int(self.tables[0].shape[-1])

    def __call__(self, paths: Integers) -> Floats:
        """Return the rows ``(..., vocabulary)`` after the paths ``(..., n)``."""
        return self.tables[paths.shape[-1]][number(paths, self.vocabulary)]

    def law(self, length: int) -> Floats:
        """Return the law of the first tokens, shape ``(vocabulary ** length,)``."""
        law = np.ones(1)
        for n in range(length):
            law = (law[:, None] * self.tables[n]).reshape(-1)
        return law


def next_child_law(row: Floats, before: Integers, children: int, drawing: str) -> Floats:
    """Return the law of a node's next child.

    row: the node's draft row, ``(..., vocabulary)``.
    before: the children drawn so far, ``(..., j)``.
    children: how many children the node gets.
    drawing: one of `DRAWINGS`.
    InputError: distinct children are asked for, and there are more than tokens.
    """
    if drawing not in DRAWINGS:
        raise InputError(f"drawing is {drawing!r}; give one of {', '.join(DRAWINGS)}")
    return child_law(row, before, children, DRAWINGS[drawing], greedy_drafts.next_child)


def tree_rows(shape: Structure, rows: PrefixRows, tokens: Integers) -> Floats:
    """Return the row of every node, ``(..., nodes, vocabulary)``, of trees with tokens ``(..., nodes)``."""
    paths = [list(shape.path(node)) for node in range(len(shape.parents))]
    return np.stack([rows(tokens[..., path]) for path in paths], axis=-2)


def draw_trees(
    shape: Structure, draft: PrefixRows, batch: int, generator: np.random.Generator, *, drawing: str = "with"
) -> Integers:
    """Draw the tokens of `batch` trees, shape ``(batch, nodes)``; the root's is -1."""
    tokens = np.full((batch, len(shape.parents)), -1, dtype=np.int64)
    for node in range(len(shape.parents)):
        children = shape.children(node)
        row = draft(tokens[:, list(shape.path(node))]) if children else np.empty(0)
        for j, child in enumerate(children):
            law = next_child_law(row, tokens[:, list(children[:j])], len(children), drawing)
            tokens[:, child] = inverse(law, generator.random(batch))
    return tokens


def all_trees(shape: Structure, draft: PrefixRows, *, drawing: str = "with") -> tuple[Integers, Floats]:
    """Return the tokens ``(trees, nodes)`` of every tree of positive probability, and the probabilities."""
    vocabulary = draft.vocabulary
    tokens = np.full((1, len(shape.parents)), -1, dtype=np.int64)
    mass = np.ones(1)
    for node in range(len(shape.parents)):
        children = shape.children(node)
        for j, child in enumerate(children):
            row = draft(tokens[:, list(shape.path(node))])
            law = next_child_law(row, tokens[:, list(children[:j])], len(children), drawing)
            tokens = np.repeat(tokens, vocabulary, axis=0)
            tokens[:, child] = np.tile(np.arange(vocabulary), len(mass))
            mass = (mass[:, None] * law).reshape(-1)
            tokens, mass = tokens[mass > 0], mass[mass > 0]
    return tokens, mass


def emitted_laws(shape: Structure, tokens: Integers, tables: Floats, mass: Floats) -> list[Floats]:
    """Return the laws of what is emitted: entry n has the probabilities of emitting exactly n + 1 tokens.

    tokens: of the trees, ``(trees, nodes)``.
    tables: probability of stopping at each node with each final token, ``(trees, nodes, vocabulary)``.
    mass: weight of every tree, ``(trees,)``.
    Returns: arrays ``(vocabulary ** (n + 1),)`` for n = 0..depth, numbered as by `number`.
    """
    vocabulary = tables.shape[-1]
    laws = [np.zeros((vocabulary**n, vocabulary)) for n in range(shape.depth + 1)]
    for node in range(len(shape.parents)):
        path = shape.path(node)
        numbers = number(tokens[:, list(path)], vocabulary)
        np.add.at(laws[len(path)], numbers, mass[:, None] * tables[:, node])
    return [law.reshape(-1) for law in laws]


def completed_law(target: PrefixRows, laws: list[Floats]) -> Floats:
    """Return the law of the first ``depth + 1`` tokens when shorter outputs are continued by the target.

    A verification is lossless when this is ``target.law(depth + 1)``.
    """
    law = laws[0]
    for n, more in enumerate(laws[1:], start=1):
        law = (law[:, None] * target.tables[n]).reshape(-1) + more
    return law


def complete(
    target: PrefixRows, tokens: Integers, lengths: Integers, generator: np.random.Generator
) -> Integers:
    """Continue outputs ``(batch, depth + 1)`` of these lengths by draws of the target; returns whole ones."""
    whole = np.array(tokens, dtype=np.int64)
    for n in range(1, whole.shape[1]):
        rows = np.flatnonzero(lengths <= n)
        whole[rows, n] = inverse(target(whole[rows, :n]), generator.random(len(rows)))
    return whole
