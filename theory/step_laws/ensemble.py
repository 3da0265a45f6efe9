"""The step law of the rule ``ensemble``: the ratio rule against share T + (1 - share) D."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import one_of
from specsim.theory.step_laws import ratio


def node_step(target: Array, draft: Array, tokens: NDArray[np.integer], share: Any) -> tuple[Array, Array]:
    """Test the one drafted token."""
    return ratio.node_step(_mixture(target, draft, share), draft, tokens)


def node(target: Array, draft: Array, children: int, share: Any) -> tuple[Array, Array]:
    """Accept the overlap of mixture and draft; together both parts are the mixture."""
    return ratio.node(_mixture(target, draft, share), draft, children)


def _mixture(target: Array, draft: Array, share: Any) -> Array:
    return target * share + draft * (one_of(target) - share)
