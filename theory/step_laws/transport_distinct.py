"""The step law of the rule ``transport-distinct``: the plan of most acceptance for children that differ."""

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.step_laws.drafts import untried
from specsim.theory.step_laws.transport import follow


def node_step(target: Array, draft: Array, tokens: NDArray[np.integer]) -> tuple[Array, Array]:
    """Follow the plan for children that were drawn without replacement."""
    return follow(target, draft, tokens, untried)
