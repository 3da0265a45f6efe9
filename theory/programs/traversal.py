"""The rule ``traversal`` as published (2505.12398): leaves first, each failure deletes a leaf."""

from collections.abc import Callable

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import (
    ONE,
    Program,
    Row,
    Rows,
    Tokens,
    coin,
    draw,
    normalised,
    positive_part,
)


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens) -> Program:
    """Traverse a tree whose children were drawn independently."""
    return traverse(structure, target, draft, tokens, lambda row, tried: row)


def traverse(
    structure: Structure, target: Rows, draft: Rows, tokens: Tokens, next_row: Callable[[Row, list[int]], Row]
) -> Program:
    """Accept the first path to a leaf by its weight, or delete the leaf and try the next path.

    ``next_row(draft_row, tried)`` is the draft row of the children of a node that are left when `tried` are
    deleted.
    """
    rows: dict[int, Row] = {}
    drafts: dict[int, Row] = {}
    left = {0: list(structure.children(0))}
    deleted: dict[int, list[int]] = {0: []}
    weight = {0: ONE}
    while left[0]:
        path = [0]
        while left[node := path[-1]]:
            if node not in rows:
                rows[node], drafts[node] = target[node], draft[node]
            child = left[node][0]
            if child not in weight:
                x = tokens[child]
                weight[child] = min(ONE, weight[node] * rows[node][x] / drafts[node][x])
                left[child], deleted[child] = list(structure.children(child)), []
            path.append(child)
        accepted = yield coin(weight[node])
        if accepted:
            if not structure.children(node):
                return node, None
            final = yield draw(rows[node])
            return node, final
        parent = path[-2]
        deleted[parent].append(tokens[left[parent].pop(0)])
        excess = positive_part([weight[parent] * t for t in rows[parent]], drafts[parent])
        mass = sum(excess)
        # 0 / 0: the weight is 1 and the rows are equal, so that no child can fail.
        weight[parent] = mass / (mass + 1 - weight[parent]) if mass or weight[parent] < 1 else ONE
        if mass:
            rows[parent] = normalised(excess)
        drafts[parent] = next_row(draft[parent], deleted[parent])
    final = yield draw(rows[0])
    return 0, final
