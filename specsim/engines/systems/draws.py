"""Draws that the loops of systems share."""

from typing import Any

import numpy as np

from specsim.engines.literal.compiling import helper


@helper
def draw_sums(sums: Any, coin: Any) -> Any:
    """Return a token by weights whose running sums ``(V,)`` are given, by bisection; never one of weight 0.

    The token is that of `specsim.engines.literal.helpers.draw_weights`, which adds the weights at each draw.
    """
    total = sums[-1]
    # Rounding can make a coin below 1 reach the total.
    level = min(coin * total, np.nextafter(total, 0.0))
    low, high = 0, len(sums) - 1
    while low < high:
        middle = (low + high) >> 1
        if sums[middle] > level:
            high = middle
        else:
            low = middle + 1
    return low
