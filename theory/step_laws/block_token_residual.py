"""The step law of the rule ``block-token-residual``: block verification with another row of replacements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import normalise, positive
from specsim.theory.step_laws import block

if TYPE_CHECKING:
    from specsim.algorithms import Structure


def law(structure: Structure, target: Array, draft: Array, tokens: NDArray[np.integer]) -> Array:
    """Stop where block verification stops, with norm((T - D)_+)."""
    found, length = block.law(structure, target, draft, tokens), structure.depth
    rows = target[..., :length, :]
    stops = found[..., :length, :].sum(axis=-1, keepdims=True)
    found[..., :length, :] = stops * normalise(positive(rows - draft[..., :length, :]), rows)
    return found
