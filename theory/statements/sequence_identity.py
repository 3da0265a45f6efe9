"""Rejections and losses of over-acceptance along its own output (beyond 2411.00841, Remark 6)."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.errors import TooLargeError
from specsim.theory.arithmetic.pair_tables import Pair, tables_of
from specsim.theory.arithmetic.rows import Number, read_number

_MAX_EXACT_ENTRIES = 20_000
_MAX_OUTPUTS = 65_536


@dataclass(frozen=True, kw_only=True)
class OverAcceptanceIdentity:
    """The three sums that the identity ties together, prefixes drawn from the algorithm's own output.

    Attributes
    ----------
    rejections
        E_A[rejections].
    losses
        E_A[sum_n Loss*_n], the one-position losses of Theorem 4.
    distances
        E_A[sum_n TV_n], the one-position distances between target and draft.
    joint_bias
        Total variation distance of the algorithm's law of (first context, output) to the target's, at most
        `losses`; None when there are too many outputs to list.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> sums = theory.over_acceptance_identity(paper_pair(2), 0.25)
    >>> bool(sums.joint_bias <= sums.losses)
    True
    """

    rejections: Number
    losses: Number
    distances: Number
    joint_bias: Number | None


def over_acceptance_identity(
    pair: Pair,
    epsilon: float | Fraction,
    *,
    horizon: int | None = None,
    exact: bool = False,
) -> OverAcceptanceIdentity:
    """Compute both sides of E_A[rejections] + E_A[sum Loss*_n] = E_A[sum TV_n].

    A is over-acceptance with the optimal residual (2411.00841, section 4.2). Theorem 5 holds at every
    position; averaging it over the prefixes that A itself writes, not those of the target, gives the
    identity. The joint bias is at most the sum of the losses along the way.

    Parameters
    ----------
    pair
        A `ModelPair` or a `RationalPair`.
    epsilon
        At least 0; a float is read as the exact number it is.
    horizon
        Number of tokens. Defaults to None, the pair's own.
    exact
        Whether to compute in `fractions.Fraction`. Defaults to False, float64.

    Raises
    ------
    InputError
        `epsilon` is negative or not finite, or `horizon` does not fit the pair.
    TooLargeError
        With `exact=True`: more than 20000 (step, context, token) triples, whose rationals grow too long.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> sums = theory.over_acceptance_identity(paper_pair(2), 0.25, exact=True)
    >>> sums.rejections + sums.losses == sums.distances
    True
    """
    extra: Any = read_number("epsilon", epsilon, exact=exact)
    tables = tables_of(pair)
    length = tables.check_horizon(horizon)
    entries = length * tables.contexts * tables.tokens
    if exact and entries > _MAX_EXACT_ENTRIES:
        raise TooLargeError(
            f"{entries} (step, context, token) triples are too many for exact=True; at most "
            f"{_MAX_EXACT_ENTRIES}, use exact=False or a shorter horizon"
        )
    if exact:
        target, draft = tables.fractions(tables.target_weights), tables.fractions(tables.draft_weights)
        mass: NDArray[Any] = tables.fractions(tables.initial_weights)
    else:
        target, draft, mass = tables.target, tables.draft, tables.initial
    following = tables.next_context
    few = int(np.count_nonzero(mass)) * tables.tokens ** min(length, 64) <= _MAX_OUTPUTS
    # Per output so far: context, mass under the algorithm, mass under the target.
    prefixes: list[tuple[int, Any, Any]] = [(c, m, m) for c, m in enumerate(mass.tolist()) if m]
    totals: list[Any] = [0 * extra] * 3
    for step in range(length):
        index = tables.step_index(step)
        written, sums = _written(target[index], draft[index], extra)
        for k, values in enumerate(sums):
            totals[k] += (mass * values).sum()
        if few:
            prefixes = _extend(prefixes, written.tolist(), target[index].tolist(), following.tolist())
        after = np.full(tables.contexts, 0 * extra, dtype=mass.dtype)
        np.add.at(after, following, mass[:, None] * written)
        mass = after
    joint = sum(abs(o - t) for _, o, t in prefixes) / 2 if few else None
    return OverAcceptanceIdentity(
        rejections=totals[0], losses=totals[1], distances=totals[2], joint_bias=joint
    )


def _written(
    target: NDArray[Any], draft: NDArray[Any], extra: Any
) -> tuple[NDArray[Any], tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Law written in every context, and per context the rejection probability, Loss* and the distance."""
    accepted = np.minimum(draft, target + extra)
    rejection = (draft - accepted).sum(axis=1)
    missing = np.maximum(target - draft, 0 * extra)
    distance = missing.sum(axis=1)
    share = np.array(
        [r / d if r > 0 else 0 * extra for r, d in zip(rejection, distance, strict=True)], dtype=target.dtype
    )
    written = accepted + share[:, None] * missing
    return written, (rejection, abs(target - written).sum(axis=1) / 2, distance)


def _extend(
    prefixes: list[tuple[int, Any, Any]],
    written: list[list[Any]],
    target: list[list[Any]],
    following: list[list[int]],
) -> list[tuple[int, Any, Any]]:
    return [
        (following[context][x], own * w, aimed * t)
        for context, own, aimed in prefixes
        for x, (w, t) in enumerate(zip(written[context], target[context], strict=True))
        if own * w or aimed * t
    ]
