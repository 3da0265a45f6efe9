"""Verifications of draft trees that are wrong for some numbers: of nodes, trees of a call, and tokens.

And right neighbours of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.zoo.model import Control, Mutant
from benchmarks.zoo.sampling import Floats, Integers, Step, draw
from benchmarks.zoo.tree_walk import Visit, children, recursive, walk
from specsim.validation.conformance.rules import lossless
from specsim.validation.conformance.subjects import Subject


def _in_order(visit: Visit) -> tuple[Integers, Integers]:
    return recursive(visit, replacement=True)


def siblings_follow_the_first(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Take the siblings of a node's first child to be the nodes after it."""
    own = [children(parents, node) for node in range(len(parents))]
    found = [range(some[0], some[0] + len(some)) if some else range(0) for some in own]
    return walk(parents, target, draft, tokens, seed, _in_order, siblings=found)


def children_in_order_of_parents(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Take the children of a node to come after those of all nodes before it."""
    return walk(np.sort(parents), target, draft, tokens, seed, _in_order)


def mask_of_64_nodes(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Keep the nodes that are still to be tested in a mask of 64 bits; others are accepted."""
    coins = np.random.default_rng([seed, 64]).random(np.shape(tokens))
    coins[:, 64:] = 0.0
    return walk(parents, target, draft, tokens, seed, _in_order, coins=coins)


def one_tree_replaced_from_target(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Replace rejected drafts from the target's row where a call has one tree."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        choice, last = recursive(visit, replacement=True)
        return choice, draw(visit.target, visit.final) if len(tokens) == 1 else last

    return walk(parents, target, draft, tokens, seed, test)


def ids_of_8_bits(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Read the rows in the tests at the last 8 bits of the drafted ids."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        return recursive(Visit(**{**vars(visit), "tokens": visit.tokens & 255}), replacement=True)

    return walk(parents, target, draft, tokens, seed, test)


def small_residuals_dropped(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Take differences of target and draft below 0.001 for rounding, and leave them out of the residual."""

    def residual(row: Floats, drafts: Floats, tried: int) -> Floats:
        left = np.where(row - drafts > 1e-3, row - drafts, 0.0)
        return np.where(left.sum(axis=1, keepdims=True) > 0, left, row)

    def test(visit: Visit) -> tuple[Integers, Integers]:
        return recursive(visit, replacement=True, residual=residual)

    return walk(parents, target, draft, tokens, seed, test)


def renumbered_by_parents(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Renumber the nodes first, so that siblings follow one another and parents never decrease."""
    order = [0]
    for node in order:
        order += children(parents, node)
    numbers = np.argsort(order)
    above = np.array([-1, *(numbers[parents[node]] for node in order[1:])])
    first = 1 + np.cumsum([0, *(np.sum(above == node) for node in range(len(order)))])
    found = [range(first[node], first[node + 1]) for node in range(len(order))]
    rows = np.asarray(target)[:, order], np.asarray(draft)[:, order]
    return walk(above, *rows, np.asarray(tokens)[:, order], seed, _in_order, siblings=found)


def one_tree_as_two(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Verify a tree that is alone in a call twice, and return the second outcome."""
    if len(tokens) > 1:
        return walk(parents, target, draft, tokens, seed, _in_order)
    rows = np.repeat(target, 2, axis=0), np.repeat(draft, 2, axis=0)
    emitted, lengths = walk(parents, *rows, np.repeat(tokens, 2, axis=0), seed, _in_order)
    return emitted[1:], lengths[1:]


def _subject(run: Callable[..., Any]) -> Subject:
    name = "tree-" + run.__name__.replace("_", "-")
    return Subject(name=name, protocol="tree", run=run, rule=lossless.RECURSIVE)


def _first_line(run: Callable[..., Any]) -> str:
    return (run.__doc__ or "").splitlines()[0].rstrip(".")


_NUMBERS = "easily made: trees whose nodes were always numbered in one way"

MUTANTS = tuple(
    Mutant(
        name=(subject := _subject(run)).name,
        description=_first_line(run) + ".",
        cite=cite,
        bug_class=bug_class,
        subject=subject,
        killed_by=("sizes",),
    )
    for run, bug_class, cite in (
        (siblings_follow_the_first, "11 tree", _NUMBERS),
        (children_in_order_of_parents, "11 tree", _NUMBERS),
        (mask_of_64_nodes, "11 tree", "easily made: one machine word"),
        (one_tree_replaced_from_target, "2 recovery law", "easily made: a path of its own for one request"),
        (ids_of_8_bits, "11 tree", "easily made: a narrow type"),
        (small_residuals_dropped, "2 recovery law", "easily made: a threshold against rounding"),
    )
)

CONTROLS = tuple(
    Control(
        name=(subject := _subject(run)).name,
        description=_first_line(run) + ".",
        source=source,
        subject=subject,
    )
    for run, source in (
        (renumbered_by_parents, "children as ranges, after sorting"),
        (one_tree_as_two, "padding to the least size of a batch"),
    )
)
