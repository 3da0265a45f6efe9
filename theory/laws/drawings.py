"""The law of all children of a node together."""

from collections.abc import Callable, Iterator
from itertools import permutations, product
from math import perm

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms.rule import Drawing
from specsim.errors import TooLargeError
from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, ones
from specsim.theory.step_laws.drafts import child_law

Integers = NDArray[np.integer]

#: Numbers handled at once, and in all.
_CHUNK = 2**20
_MOST_NUMBERS = {False: 2**31, True: 2**21}


def children_laws(
    draft: Array, children: int, drawing: Drawing, own: Callable[..., Array] | None
) -> Iterator[tuple[Integers, Array]]:
    """Yield tokens of all children of a node and their probabilities, in parts.

    draft: rows ``(rows, V)``.
    children: how many.
    drawing, own: as for `child_law`.
    TooLargeError: there are too many tuples of tokens.
    """
    rows, vocabulary = draft.shape
    if drawing == "greedy":
        order = np.argsort(-draft, axis=-1, kind="stable")
        yield order[:, None, :children], ones((rows, 1), draft)
        return
    distinct = drawing == "distinct"
    tuples = perm(vocabulary, children) if distinct else vocabulary**children
    if rows * tuples * vocabulary > _MOST_NUMBERS[draft.dtype == object]:
        raise TooLargeError(
            f"{children} children of a node have {tuples} tuples of tokens in each of {rows} rows, too many "
            "to add up; use fewer drafts, a smaller vocabulary or simulation"
        )
    every = (
        permutations(range(vocabulary), children) if distinct else product(range(vocabulary), repeat=children)
    )
    listed = np.array(list(every))
    size = max(1, _CHUNK // (rows * vocabulary))
    for first in range(0, len(listed), size):
        some = listed[first : first + size]
        tokens = np.broadcast_to(some, (rows, *some.shape))
        row = np.broadcast_to(draft[:, None, :], (*tokens.shape[:2], vocabulary))
        mass = ones(tokens.shape[:2], draft)
        for child in range(children):
            law = child_law(row, tokens[..., :child], children, drawing, own)
            mass = mass * at_token(law, tokens[..., child : child + 1])[..., 0]
        yield tokens, mass
