"""The step law of the rule ``transport-distinct``: the plan of most acceptance for children that differ."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.theory.step_laws.drafts import untried
from specsim.theory.step_laws.transport import follow

Array = NDArray[Any]


def node_step(target: Array, draft: Array, tokens: NDArray[np.integer]) -> tuple[Array, Array]:
    """Follow the plan for children that were drawn without replacement."""
    return follow(target, draft, tokens, untried)
