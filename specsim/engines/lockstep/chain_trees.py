"""Tables of at most 8 rows of at most 8 tokens, laid out for `lockstep.kernels.chain_permute`.

A binary tree of three levels finds the token of a word: a node holds the border between the tokens to its
left and those to its right. Nodes of a level, and leaves, are numbered by the row and, eight times as much,
by the branches taken so far, the first one being the lowest bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Indices = NDArray[np.uint32]

#: Most rows and tokens of a step.
MOST = 8
#: Words of a step: nodes (8, 16 and 32 from places 0, 16 and 32 on), cuts, slides, nodes of the residual.
TREE_WORDS = 256
#: Words per later candidate: one cut per leaf.
LEAF_WORDS = 64

_CUTS, _SLIDES, _RESIDUAL = 64, 128, 192
_REVERSED = (0, 4, 2, 6, 1, 5, 3, 7)


def leaf_tables(values: NDArray[np.integer]) -> Indices:
    """Lay out values of tokens by leaf.

    Parameters
    ----------
    values
        Shape ``(tables, rows, tokens)``, taken modulo 2^32.

    Returns
    -------
    ndarray of uint32
        Shape ``(tables, 64)``.
    """
    tables, rows, tokens = values.shape
    out = np.zeros((tables, MOST, MOST), np.uint32)
    for token in range(tokens):
        out[:, _REVERSED[token], :rows] = values[:, :, token].astype(np.uint32)
    return out.reshape(tables, LEAF_WORDS)


def tree_tables(draft: Words, accepted: Words, residual: Words) -> Indices:
    """Lay out the tables of steps.

    Every row needs a first token that is sometimes accepted, so that no segment ends before the first word
    and not every word is rejected.

    Parameters
    ----------
    draft, accepted, residual
        Weights, uint64 of shape ``(steps, rows, tokens)``.

    Returns
    -------
    ndarray of uint32
        Shape ``(steps, 256)``.
    """
    steps, rows, tokens = draft.shape
    ends = np.cumsum(draft, axis=2, dtype=np.uint64)
    starts = ends - draft
    lost = draft - accepted
    slides = np.cumsum(lost, axis=2, dtype=np.uint64) - lost - starts - accepted
    residual_ends = np.cumsum(residual, axis=2, dtype=np.uint64)
    tables = np.zeros((steps, TREE_WORDS), np.uint32)
    tables[:, _CUTS:_SLIDES] = leaf_tables(starts + accepted - np.uint64(1))
    tables[:, _SLIDES:_RESIDUAL] = leaf_tables(slides)
    # To the right go words above the border, and positions from the border on.
    for base, borders in ((0, ends - np.uint64(1)), (_RESIDUAL, residual_ends)):
        full = np.repeat(borders[:, :, -1:], MOST, axis=2)
        full[:, :, :tokens] = borders
        for level in range(3):
            # The nodes of a level in the order of their tokens; the branches so far are the reversed number.
            for node in range(1 << level):
                border = (2 * node + 1) * (MOST >> (level + 1)) - 1
                place = base + (0, 16, 32)[level] + 8 * (_REVERSED[node] >> (3 - level))
                tables[:, place : place + rows] = full[:, :, border].astype(np.uint32)
    return tables
