"""The step law of the rule ``cascade``: the ratio rule against the target or the draft, row by row."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import positive
from specsim.theory.step_laws import ratio


def node_step(target: Array, draft: Array, tokens: NDArray[np.integer], alpha: Any) -> tuple[Array, Array]:
    """Test the one drafted token."""
    return ratio.node_step(_chosen(target, draft, alpha), draft, tokens)


def node(target: Array, draft: Array, children: int, alpha: Any) -> tuple[Array, Array]:
    """Where the draft is kept all is accepted; elsewhere as in the ratio rule."""
    return ratio.node(_chosen(target, draft, alpha), draft, children)


def _chosen(target: Array, draft: Array, alpha: Any) -> Array:
    """Return the row with the smaller 1 - max + alpha TV from the target, the draft in a tie."""
    distance = positive(target - draft).sum(axis=-1, keepdims=True)
    keeping = draft.max(axis=-1, keepdims=True) >= target.max(axis=-1, keepdims=True) - distance * alpha
    return np.where(keeping, draft, target)
