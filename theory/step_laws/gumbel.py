"""The step law of the rule ``gumbel``: draft and target are drawn with the same noise."""

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, divided, one_of, positive, without_tokens, zeros

Integers = NDArray[np.integer]


def node_step(target: Array, draft: Array, tokens: Integers) -> tuple[Array, Array]:
    """Accept the one drafted token when the target's draw is the same; else emit that draw."""
    law = second_draw_law(draft, target, tokens[..., 0])
    return at_token(law, tokens), without_tokens(law, tokens)


def second_draw_law(first: Array, second: Array, token: Integers) -> Array:
    """Return the law of the draw from the second row, given the draw from the first, with shared noise.

    Every token has one standard exponential, and a row's draw is the token of the least exponential divided
    by probability; with Gumbel noise this is the usual argmax of log-probability plus noise.

    Let ``S(t) = sum_j max(first_j, t second_j)`` and ``r_j = first_j / second_j``. With ``t`` the quotient of
    the two winning times, the joint law of draws x and y != x is ``first_x second_y`` times the integral of
    ``1 / S(t)^2`` from ``r_y`` to ``r_x``, and both are x with probability ``first_x / S(r_x)`` (Poisson
    matching, 2408.07978). Between two neighbours of the sorted ``r`` the integral is
    ``(t_2 - t_1) / (S(t_1) S(t_2))``.

    first, second: laws, shape ``(..., V)``.
    token: the first draw, shape ``(...)``.
    Returns: shape ``(..., V)``; sums to 1.

    Examples
    --------
    >>> second_draw_law(np.array([0.5, 0.5]), np.array([0.5, 0.5]), np.array(1)).tolist()
    [0.0, 1.0]
    """
    shape = np.broadcast_shapes(first.shape, second.shape, (*token.shape, 1))
    first, second = np.broadcast_to(first, shape), np.broadcast_to(second, shape)
    one, none = one_of(second), zeros((*shape[:-1], 1), second)
    finite = second > 0
    turns = divided(first, second)
    # Infinite turns come last, whatever stands in their place.
    turns = np.where(finite, turns, turns.max(axis=-1, keepdims=True) + one)
    order = np.argsort(turns, axis=-1, kind="stable")
    times, finite, first_sorted, second_sorted = (
        np.take_along_axis(values, order, axis=-1) for values in (turns, finite, first, second)
    )
    before = second_sorted.cumsum(axis=-1)
    behind = first_sorted.sum(axis=-1, keepdims=True) - first_sorted.cumsum(axis=-1)
    slopes = behind + times * before
    last_times = np.concatenate([none, times[..., :-1]], axis=-1)
    last_slopes = np.concatenate([first.sum(axis=-1, keepdims=True), slopes[..., :-1]], axis=-1)
    # The piece from the last finite turn to infinity; nothing lies between two infinite turns.
    endless = np.where(np.concatenate([none > 0, ~finite[..., :-1]], axis=-1), none, one / last_slopes)
    pieces = np.where(
        finite, (times - last_times) / (last_slopes * slopes), endless / second.sum(axis=-1, keepdims=True)
    )
    area, slope = zeros(shape, second), zeros(shape, second)
    np.put_along_axis(area, order, pieces.cumsum(axis=-1), axis=-1)
    np.put_along_axis(slope, order, np.where(finite, slopes, none), axis=-1)
    chosen = np.broadcast_to(token[..., None], (*shape[:-1], 1))
    law = second * positive(at_token(area, chosen) - area)
    np.put_along_axis(law, chosen, divided(none + one, at_token(slope, chosen)), axis=-1)
    return law
