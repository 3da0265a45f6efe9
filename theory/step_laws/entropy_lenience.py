"""The step law of the rule ``entropy-lenience``: lenience with a factor for each row."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.step_laws import lenience


def node_step(
    target: Array, draft: Array, tokens: NDArray[np.integer], ceiling: Any, rate: Any
) -> tuple[Array, Array]:
    """Test the one drafted token."""
    return lenience.node_step(target, draft, tokens, _factor(target, ceiling, rate))


def node(target: Array, draft: Array, children: int, ceiling: Any, rate: Any) -> tuple[Array, Array]:
    """As for the rule ``lenience``."""
    return lenience.node(target, draft, children, _factor(target, ceiling, rate))


def _factor(target: Array, ceiling: Any, rate: Any) -> Array:
    """Return min(ceiling, exp(-rate entropy)), ``(..., 1)``."""
    logarithms = np.log(np.where(target > 0, target, 1.0))
    return np.minimum(np.exp(rate * (target * logarithms).sum(axis=-1, keepdims=True)), ceiling)
