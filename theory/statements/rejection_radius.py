"""How close the draft row must be to the target row for greedy and relaxed acceptance never to reject."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike

from specsim.errors import InputError
from specsim.support.arrays import Floats
from specsim.support.checks import whole


@dataclass(frozen=True, kw_only=True)
class RejectionRadius:
    """The least divergence from the target row at which a draft row can be rejected.

    Attributes
    ----------
    divergence
        KL(target || draft) in nats; every draft row that is closer is accepted.
    nearest
        A draft row at this divergence which ties decide against.

    Examples
    --------
    >>> rejection_radius([0.75, 0.25]).nearest.tolist()
    [0.5, 0.5]
    """

    divergence: float
    nearest: Floats


def rejection_radius(
    target: ArrayLike, *, width: int = 1, accepted: Collection[int] | None = None
) -> RejectionRadius:
    """Return the divergence below which a draft row is certainly accepted (2606.30265).

    Either the target's likeliest token has to be among the `width` likeliest of the draft (greedy decoding
    with a tree of that width; 1: strict greedy acceptance), or the draft's likeliest token has to be one of
    `accepted`, a set that depends on the target alone: those within a margin of the likeliest, by difference
    or by ratio, its top tokens, or those above a threshold that depends on the entropy.

    The nearest row that fails keeps the target's probabilities but for a few tokens, which it makes equal at
    their mean.

    Parameters
    ----------
    target
        The target row, ``(tokens,)``.
    width
        Number of the draft's likeliest tokens that are tried. Defaults to 1.
    accepted
        Tokens that are accepted. Defaults to None, the target's likeliest token.

    Raises
    ------
    InputError
        The row is no law, or every draft row is accepted.

    Notes
    -----
    Statements of 2606.30265 as far as its abstract and secondary sources give them; the sets by margin and by
    threshold are derived here. Logarithms are not rational: there is no exact mode.

    Examples
    --------
    >>> row = [0.5, 0.3, 0.15, 0.05]
    >>> [round(rejection_radius(row, width=width).divergence, 6) for width in (1, 2, 3)]
    [0.025267, 0.100077, 0.237773]
    >>> rejection_radius(row, accepted=[0, 1]).nearest.round(4).tolist()
    [0.325, 0.3, 0.325, 0.05]
    """
    try:
        if np.iscomplexobj(target):
            raise TypeError
        row = np.asarray(target, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"target is {target!r}; give a row of probabilities") from None
    if row.ndim != 1 or not (row >= 0).all() or not abs(row.sum() - 1) < 1e-9:
        raise InputError("target is not a distribution; give a row of probabilities that sum to 1")
    order = np.argsort(-row, kind="stable")
    width = whole("width", width, 1)
    if accepted is None:
        if width >= len(row):
            raise InputError(f"width is {width} with {len(row)} tokens: every draft row is accepted")
        # The likeliest token falls to the level of those that come before it, the rarest of them first.
        return _pooled(row, int(order[0]), order[1 : width + 1][::-1])
    if width != 1:
        raise InputError(f"width is {width} with accepted; give one of them")
    others = [token for token in order.tolist() if token not in set(accepted)]
    if not others:
        raise InputError("accepted has every token: every draft row is accepted")
    # The likeliest refused token rises to the level of those above it, the likeliest of them first.
    return _pooled(row, others[0], np.array([token for token in order.tolist() if token != others[0]]))


def _pooled(row: Floats, moved: int, others: np.ndarray) -> RejectionRadius:
    """Make a token equal to those that it has to pass, while the next one lies beyond their mean."""
    pool = [moved]
    beyond = np.sign(row[others[0]] - row[moved])
    means = list(accumulate([row[moved], *row[others]]))
    for count, other in enumerate(others.tolist(), start=1):
        if beyond * (row[other] - means[count - 1] / count) <= 0 and count > 1:
            break
        pool.append(other)
    nearest = row.copy()
    nearest[pool] = row[pool].mean()
    kept = row > 0
    return RejectionRadius(
        divergence=float((row[kept] * np.log(row[kept] / nearest[kept])).sum()), nearest=nearest
    )
