"""The step law of the rule ``traversal-distinct``: traversal of children that differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.step_laws.drafts import untried
from specsim.theory.step_laws.traversal import traverse

if TYPE_CHECKING:
    from specsim.algorithms import Structure


def law(structure: Structure, target: Array, draft: Array, tokens: NDArray[np.integer]) -> Array:
    """Traverse a tree of children that were drawn without replacement (2505.12398)."""
    return traverse(structure, target, draft, tokens, untried)
