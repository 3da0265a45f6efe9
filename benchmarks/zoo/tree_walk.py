"""What the samplers for trees share: going down a tree row by row, and the tests at one node.

None of it knows a law: the exact laws in ``rules`` share no code with this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.zoo.sampling import (
    Floats,
    Integers,
    Step,
    at,
    draw,
    floats,
    gap,
    quotient,
)


@dataclass(frozen=True)
class Visit:
    """The trees of a batch that have come to one node with children.

    Attributes
    ----------
    target, draft
        The node's rows, ``(b, V)``.
    tokens
        Of its children in order, ``(b, K)``.
    coins
        One uniform for every child, ``(b, K)``.
    node_coin, order
        One more uniform for the node, ``(b,)``, and one more for every child, ``(b, K)``.
    final
        The uniform that draws the last token, ``(b,)``.
    root_target, root_draft
        Rows of the root, ``(b, V)``.
    child_draft
        Draft rows in the slots of the children, ``(b, K, V)``.
    node
        Its number.
    first_coin
        The coin of the root's first child, ``(b,)``.
    """

    target: Floats
    draft: Floats
    tokens: Integers
    coins: Floats
    node_coin: Floats
    order: Floats
    final: Floats
    root_target: Floats
    root_draft: Floats
    child_draft: Floats
    node: int
    first_coin: Floats


#: What is done at a node: the child to descend into for every tree, -1 for none, and the token to stop with.
NodeTest = Callable[[Visit], tuple[Integers, Integers]]


def children(parents: Any, node: int) -> list[int]:
    """Return the children of a node, in their order."""
    return [child for child in range(1, len(parents)) if int(parents[child]) == node]


def depths(parents: Any) -> list[int]:
    """Return the number of drafted tokens down to every node."""
    found = [0]
    for node in range(1, len(parents)):
        found.append(found[int(parents[node])] + 1)
    return found


def walk(
    parents: Any,
    target: Any,
    draft: Any,
    tokens: Any,
    seed: int,
    test: NodeTest,
    *,
    bonus: Any = None,
    coins: Any = None,
    node_coins: Any = None,
    siblings: Sequence[Sequence[int]] | None = None,
) -> Step:
    """Go down every tree from its root: test the children, descend or stop; at a leaf draw the bonus token.

    Every tree has uniforms of its own, whatever happens in the others.

    Parameters
    ----------
    bonus
        Rows ``(B, N, V)`` for the bonus token. Defaults to None: those of the target.
    coins, node_coins
        Uniforms of the nodes, ``(B, N)``: of their tests, and of what is drawn at them. Default to None: all
        independent.
    siblings
        Children of every node. Defaults to None: those that have it as their parent.
    """
    target = floats(target)
    draft = target if draft is None else floats(draft)
    tokens = np.asarray(tokens)
    bonus = target if bonus is None else floats(bonus)
    batch, nodes = tokens.shape
    level = depths(parents)
    of_tests, of_nodes, orders, finals = np.random.default_rng(seed).random((4, batch, nodes))
    coins = of_tests if coins is None else coins
    node_coins = of_nodes if node_coins is None else node_coins
    emitted = np.full((batch, max(level) + 1), -1, dtype=np.int64)
    lengths = np.zeros(batch, dtype=np.int64)
    place = np.zeros(batch, dtype=np.int64)
    for node in range(nodes):
        here = np.flatnonzero(place == node)
        below = children(parents, node) if siblings is None else siblings[node]
        if below:
            visit = Visit(
                target[here, node],
                draft[here, node],
                tokens[np.ix_(here, np.array(below))],
                coins[np.ix_(here, np.array(below))],
                node_coins[here, node],
                orders[np.ix_(here, np.array(below))],
                finals[here, 0],
                target[here, 0],
                draft[here, 0],
                draft[np.ix_(here, np.array(below))],
                node,
                coins[here, 1],
            )
            choice, last = test(visit)
        else:
            choice = np.full(len(here), -1)
            last = draw(bonus[here, node], finals[here, 0])
        stops = choice < 0
        emitted[here[stops], level[node]] = last[stops]
        lengths[here[stops]] = level[node] + 1
        place[here[stops]] = -1
        on = here[~stops]
        if below:
            place[on] = np.array(below)[choice[~stops]]
            emitted[on, level[node]] = tokens[on, place[on]]
    return emitted, lengths


def normal(rows: Floats) -> Floats:
    """Divide each row by its total."""
    return rows / rows.sum(axis=-1, keepdims=True)


def less_tried(draft: Floats, tried: Integers) -> Floats:
    """Return the draft rows without the tried tokens; uniform over the rest where nothing is left."""
    left = draft.copy()
    rest = np.ones_like(draft)
    for token in tried.T:
        rows = np.arange(len(draft))
        left[rows, token] = 0.0
        rest[rows, token] = 0.0
    some = rest.sum(axis=-1, keepdims=True) > 0
    rest = np.where(some, rest, 1.0)
    return normal(np.where(left.sum(axis=-1, keepdims=True) > 0, left, rest))


def recursive(
    visit: Visit,
    *,
    replacement: bool,
    residual: Callable[[Floats, Floats, int], Floats] = lambda row, draft, tried: gap(row, draft),
) -> tuple[Integers, Integers]:
    """Try the children in order; after a failure the target is replaced by the normalised residual.

    `residual` gets the rows of target and draft ``(B, V)`` and the number of children that were tried.
    """
    choice = np.full(len(visit.target), -1)
    row, draft = normal(visit.target), normal(visit.draft)
    for k in range(visit.tokens.shape[1]):
        token = visit.tokens[:, k]
        passed = visit.coins[:, k] < quotient(at(row, token), at(draft, token))
        choice[(choice < 0) & passed] = k
        row = normal(residual(row, draft, k + 1))
        if not replacement:
            draft = less_tried(visit.draft, visit.tokens[:, : k + 1])
    return choice, draw(row, visit.final)


def traverse(
    parents: Any,
    target: Any,
    draft: Any,
    tokens: Any,
    seed: int,
    *,
    replacement: bool,
    keep_row: bool = False,
    keep_weight: bool = False,
) -> Step:
    """Verify leaves first: accept the path to the first leaf by its weight, or delete that leaf and go on.

    `keep_row` and `keep_weight` leave out what a deletion does to the parent.
    """
    rows, drafts, tokens = normal(floats(target)), normal(floats(draft)), np.asarray(tokens)
    first_drafts = drafts.copy()
    batch, nodes = tokens.shape
    level = depths(parents)
    generator = np.random.default_rng(seed)
    coins, final = generator.random((batch, nodes)), generator.random(batch)
    left = {node: children(parents, node) for node in range(nodes)}
    gone: dict[int, list[int]] = {node: [] for node in range(nodes)}
    weight = {0: np.ones(batch)}
    stop = np.zeros(batch, dtype=np.int64)
    undecided = np.ones(batch, dtype=bool)
    stop_rows = np.zeros((batch, rows.shape[-1]))
    while True:
        leaf = 0
        while left[leaf]:
            child = left[leaf][0]
            if child not in weight:
                # A child is never drafted where the draft row is 0, whatever the weight.
                growth = quotient(at(rows[:, leaf], tokens[:, child]), at(drafts[:, leaf], tokens[:, child]))
                product = np.where(
                    weight[leaf] > 0, weight[leaf] * np.where(weight[leaf] > 0, growth, 1.0), 0.0
                )
                weight[child] = np.minimum(1.0, product)
            leaf = child
        accepted = undecided & (coins[:, leaf] < weight[leaf]) if leaf else undecided
        stop[accepted] = leaf
        stop_rows[accepted] = rows[accepted, leaf]
        undecided = undecided & ~accepted
        if leaf == 0:
            break
        parent = int(parents[leaf])
        left[parent].remove(leaf)
        gone[parent].append(leaf)
        part = np.maximum(weight[parent][:, None] * rows[:, parent] - drafts[:, parent], 0.0)
        mass = part.sum(axis=1)
        if not keep_weight:
            below = mass + (1.0 - weight[parent])
            weight[parent] = np.where(below > 0, mass / np.where(below > 0, below, 1.0), 1.0)
        if not keep_row:
            rows[:, parent] = np.where(
                (mass > 0)[:, None], part / np.where(mass > 0, mass, 1.0)[:, None], rows[:, parent]
            )
        if not replacement:
            drafts[:, parent] = less_tried(first_drafts[:, parent], tokens[:, gone[parent]])
        for sibling in left[parent]:
            weight.pop(sibling, None)
    emitted = np.full((batch, max(level) + 1), -1, dtype=np.int64)
    for node in range(nodes):
        here = np.flatnonzero(stop == node)
        path: list[int] = []
        up = node
        while up:
            path.insert(0, up)
            up = int(parents[up])
        emitted[here[:, None], np.arange(len(path))] = tokens[np.ix_(here, np.array(path, dtype=np.int64))]
        emitted[here, len(path)] = draw(stop_rows[here], final[here])
    return emitted, np.array(level)[stop] + 1
