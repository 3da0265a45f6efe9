"""The rule ``two-step``: select one child, then verify it as a single draft (2410.18234)."""

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import (
    ONE,
    ZERO,
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
    """Select the child whose target / draft is largest, the higher token in a tie; test it by its law."""
    node = 0
    while structure.children(node):
        children = structure.children(node)
        law = selected(target[node], draft[node], len(children))
        chosen = max(
            children, key=lambda n: (target[node][tokens[n]] / draft[node][tokens[n]], tokens[n], -n)
        )
        x = tokens[chosen]
        accepted = yield coin(min(ONE, target[node][x] / law[x]))
        if not accepted:
            final = yield draw(normalised(positive_part(target[node], law)))
            return node, final
        node = chosen
    return node, None


def selected(target: Row, draft: Row, children: int) -> Row:
    """Return the law of the selected token: all children are at most it, and not all are below it."""
    ranked = sorted((y for y in range(len(draft)) if draft[y]), key=lambda y: (target[y] / draft[y], y))
    law, upto = [ZERO for _ in draft], ZERO
    for y in ranked:
        law[y] = (upto + draft[y]) ** children - upto**children
        upto += draft[y]
    return law
