"""The rule ``recursive-distinct`` as published (2402.14160; 2402.12374)."""

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import (
    ONE,
    Program,
    Rows,
    Tokens,
    coin,
    draw,
    normalised,
    positive_part,
    without,
)


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens) -> Program:
    """Test the children of a node in turn, each by the draft row less those before it, renormalised."""
    node = 0
    while structure.children(node):
        row, drafts = target[node], draft[node]
        tried = []
        for child in structure.children(node):
            x = tokens[child]
            accepted = yield coin(min(ONE, row[x] / drafts[x]))
            if accepted:
                node = child
                break
            row = normalised(positive_part(row, drafts))
            tried.append(x)
            if len(tried) < len(row):
                drafts = without(draft[node], tried)
        else:
            final = yield draw(row)
            return node, final
    return node, None
