"""The largest acceptance of one token from independent drafts (optimal transport), for any vocabulary."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from specsim.errors import InputError
from specsim.support.checks import whole


def transport_acceptance(target: ArrayLike, draft: ArrayLike, drafts: float) -> Any:
    """Return the largest probability that a token with the target's law is among independent drafts.

    By the duality of largest flows and smallest cuts it is ``1 + min over sets H of T(H) - D(H)^drafts``,
    where H may be empty. A token belongs to the best H when T / D is small, so that the sets of the tokens
    of smallest T / D are enough: the cost is that of sorting.

    Parameters
    ----------
    target, draft
        Rows ``(..., tokens)``: floats, or Fractions.
    drafts
        Number of drafts, at least 1; ``math.inf`` is the limit.

    Returns
    -------
    numpy.ndarray or number
        Shape ``(...)``.

    Raises
    ------
    InputError
        The shapes differ, or the number of drafts is none.

    Notes
    -----
    2310.15141 states the programme, 2410.18234 and 2502.18779 solve it. `round_optimum` gives the same with
    a certificate for a few tokens.

    Examples
    --------
    >>> transport_acceptance([0.5, 0.3, 0.15, 0.05], [0.2, 0.45, 0.1, 0.25], 2).round(6).item()
    0.86
    """
    kept, given = (
        np.asarray(
            row, dtype=object if any(not isinstance(v, float | int) for v in np.ravel(row).tolist()) else None
        )
        for row in (target, draft)
    )
    if kept.shape != given.shape or kept.ndim == 0:
        raise InputError(f"target has shape {kept.shape} and draft {given.shape}; give rows of one shape")
    if drafts != math.inf:
        drafts = whole("drafts", drafts, 1, floats=True)
    ratio = np.full(kept.shape, math.inf)
    np.divide(kept.astype(float), given.astype(float), out=ratio, where=given.astype(float) > 0)
    order = np.argsort(ratio, axis=-1, kind="stable")
    inside = np.cumsum(np.take_along_axis(kept, order, axis=-1), axis=-1)
    drawn = np.cumsum(np.take_along_axis(given, order, axis=-1), axis=-1)
    if drafts == math.inf:
        # All drafts stay in H only where nothing else is drawn; a sum of floats may fall short of 1.
        outside = np.take_along_axis(given, order, axis=-1)[..., ::-1].cumsum(axis=-1)[..., ::-1]
        last = np.concatenate([outside[..., 1:], outside[..., :1] * 0], axis=-1) == 0
        powers = np.where(last, drawn * 0 + 1, drawn * 0)
    else:
        powers = drawn**drafts
    cuts = inside - powers
    return 1 + np.minimum(cuts.min(axis=-1), cuts[..., 0] * 0)
