"""The rule ``batch-as-printed``: Algorithm 4 of 2411.00841 with one of its two slips."""

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import ONE, Program, Rows, Tokens, coin, draw, normalised, positive_part


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens, slip: str) -> Program:
    """Test the children of the root in turn, and the path below the accepted one token by token."""
    row, node = target[0], 0
    for child in structure.children(0):
        x = tokens[child]
        accepted = yield coin(min(ONE, row[x] / draft[0][x]))
        if accepted:
            node = child
            break
        row = normalised(positive_part(row, draft[0]))
        if slip == "inside-loop":
            break
    if node == 0:
        # Line 28 subtracts the draft from a row that line 19 has already updated.
        final = yield draw(normalised(positive_part(row, draft[0])))
        return 0, final
    while structure.children(node):
        (child,) = structure.children(node)
        x = tokens[child]
        accepted = yield coin(min(ONE, target[node][x] / draft[node][x]))
        if not accepted:
            final = yield draw(normalised(positive_part(target[node], draft[node])))
            return node, final
        node = child
    return node, None
