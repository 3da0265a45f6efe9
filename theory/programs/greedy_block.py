"""The rule ``greedy-block`` as published (2602.16961): select one of the paths, verify it as a block.

Paths are drawn independently. They are compared token by token by the quotient of target and draft, and equal
quotients by token, so that two paths rank alike only when they are the same.
"""

from fractions import Fraction

from specsim.algorithms.structures import Structure
from specsim.theory.programs import block
from specsim.theory.programs.steps import ONE, ZERO, Program, Row, Rows, Tokens


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens) -> Program:
    """Verify the path of the highest rank with its own law instead of the draft's."""
    if not structure.depth:
        return 0, None
    paths, node = [[child] for child in structure.children(0)], 0
    drafts = len(paths)
    for path in paths:
        while structure.children(path[-1]):
            path.append(structure.children(path[-1])[0])
    laws: list[Row] = []
    # Mass of the paths that rank below those with the present beginning, and mass of these.
    below, mass = ZERO, ONE
    for depth in range(structure.depth):
        ranks = _ranks(target[node], draft[node])
        # Mass of the paths below this beginning with y after it.
        starts = [
            below + mass * sum((d for d, rank in zip(draft[node], ranks, strict=True) if rank < one), ZERO)
            for one in ranks
        ]
        here = (below + mass) ** drafts - below**drafts
        laws.append(
            [((a + mass * d) ** drafts - a**drafts) / here for a, d in zip(starts, draft[node], strict=True)]
        )
        x = max((tokens[path[depth]] for path in paths), key=ranks.__getitem__)
        below, mass = starts[x], mass * draft[node][x]
        paths = [path for path in paths if tokens[path[depth]] == x]
        node = paths[0][depth]
    nodes = [0, *paths[0]]
    rows = [target[node] for node in nodes[:-1]]
    chosen = [-1, *(tokens[node] for node in nodes[1:])]
    accepted, final = yield from block.program(Structure((1,) * structure.depth), rows, laws, chosen)
    return nodes[accepted], final


def _ranks(target: Row, draft: Row) -> list[tuple[Fraction, int]]:
    return [(t / d if d else ZERO, y) for y, (t, d) in enumerate(zip(target, draft, strict=True))]
