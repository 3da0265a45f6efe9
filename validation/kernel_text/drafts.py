"""Every draft of a round with its rows, for texts whose laws are compared draft by draft."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from specsim.algorithms import Algorithm
from specsim.theory import RationalPair
from specsim.theory.enumerated_rounds import child_law
from specsim.theory.programs import get_program

Rows = np.ndarray


def every_draft(pair: RationalPair, algorithm: Algorithm) -> Iterator[tuple[Rows, Rows, Rows]]:
    """Yield (target rows, draft rows, tokens) of each draft of positive probability of the first round.

    pair: the rows of leaves are those of its last step where the structure reaches to the horizon.
    algorithm: what drafts; its structure is cut at the horizon.
    Yields target, draft: Fractions, shape ``(nodes, tokens)``: rows after each node.
    Yields tokens: int64, shape ``(nodes,)``; that of the root is 0 and means nothing.
    """
    structure = algorithm.structure(pair.horizon)
    parents, drawing = structure.parents, algorithm.drawing
    program = get_program(algorithm.rule) if drawing == "own" else None

    def row(node: int, context: int, target: bool) -> list[Fraction]:
        step = min(structure.depths[node], pair.horizon - 1)
        return list(pair.target_row(step, context) if target else pair.draft_row(step, context))

    def grow(tokens: list[int], contexts: list[int]) -> Iterator[tuple[Rows, Rows, Rows]]:
        node = len(tokens)
        if node == len(parents):
            target, draft = (
                np.array([row(n, contexts[n], kind) for n in range(node)], dtype=object)
                for kind in (True, False)
            )
            yield target, draft, np.array(tokens)
            return
        parent = parents[node]
        siblings = structure.children(parent)
        before = tokens[siblings.start : node]
        law = child_law(row(parent, contexts[parent], False), before, len(siblings), drawing, program)
        for token, chance in enumerate(law):
            if chance:
                yield from grow([*tokens, token], [*contexts, pair.next_context[contexts[parent]][token]])

    for start, weight in enumerate(pair.initial):
        if weight:
            yield from grow([0], [start])
