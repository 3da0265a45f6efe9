"""Races with shared noise: the joint law of two draws, and the rule that accepts when they agree.

Every token has one standard exponential; a row's draw is the token with the least exponential / probability.
With Gumbel noise this is the usual argmax of log-probability plus noise.
"""

from __future__ import annotations

import numpy as np

from specsim.validation.conformance.rules.base import (
    Floats,
    Integers,
    Rule,
    at_token,
    need_draft,
)


def second_draw_law(first: Floats, second: Floats, token: Integers) -> Floats:
    """Return the law of the draw from the second row, given the draw from the first, with shared noise.

    Let ``S(t) = sum_j max(first_j, t second_j)`` and ``r_j = first_j / second_j``. With ``t`` the quotient of
    the two winning times, the joint law of draws x and y != x is ``first_x second_y`` times the integral of
    ``1 / S(t)^2`` from ``r_y`` to ``r_x``, and both are x with probability ``first_x / S(r_x)`` (Poisson
    matching, 2408.07978). Between two neighbours of the sorted ``r`` the integral is
    ``(t_2 - t_1) / (S(t_1) S(t_2))``.

    Parameters
    ----------
    first, second
        Laws, shape ``(..., V)``.
    token
        The first draw, shape ``(...)``.

    Returns
    -------
    Floats
        Shape ``(..., V)``; sums to 1.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        turns = np.where(second > 0, first / np.where(second > 0, second, 1.0), np.inf)
    turns, first, second = np.broadcast_arrays(turns, first, second)
    order = np.argsort(turns, axis=-1, kind="stable")
    times = np.take_along_axis(turns, order, axis=-1)
    steps_second = np.cumsum(np.take_along_axis(second, order, axis=-1), axis=-1)
    ordered_first = np.take_along_axis(first, order, axis=-1)
    rest_first = np.cumsum(ordered_first[..., ::-1], axis=-1)[..., ::-1] - ordered_first
    finite = np.isfinite(times)
    with np.errstate(invalid="ignore"):
        slopes = np.where(finite, rest_first + times * steps_second, np.inf)
    before_times = np.concatenate([np.zeros_like(times[..., :1]), times[..., :-1]], axis=-1)
    before_slopes = np.concatenate([first.sum(axis=-1, keepdims=True), slopes[..., :-1]], axis=-1)
    total = second.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        pieces = np.where(
            finite, (times - before_times) / (before_slopes * slopes), 1.0 / (total * before_slopes)
        )
    areas = np.cumsum(pieces, axis=-1)
    area, slope = np.empty(times.shape), np.empty(times.shape)
    np.put_along_axis(area, order, areas, axis=-1)
    np.put_along_axis(slope, order, slopes, axis=-1)
    law: Floats = second * np.maximum(at_token(area, token)[..., None] - area, 0.0)
    np.put_along_axis(law, token[..., None], 1.0 / at_token(slope, token)[..., None], axis=-1)
    return law


def _match_law(target: Floats, draft: Floats | None, drafted: Integers) -> Floats:
    rows = need_draft(draft, "gumbel-match")
    length = drafted.shape[-1]
    table = np.zeros(target.shape)
    reached = np.ones(drafted.shape[:-1])
    for i in range(length):
        token = drafted[..., i]
        law = reached[..., None] * second_draw_law(rows[..., i, :], target[..., i, :], token)
        reached = at_token(law, token)
        np.put_along_axis(law, token[..., None], 0.0, axis=-1)
        table[..., i, :] = law
    table[..., length, :] = reached[..., None] * target[..., length, :]
    return table


GUMBEL_MATCH = Rule(
    name="gumbel-match",
    title="draw the draft and the target with the same noise at each position, accept while they agree",
    source="2408.07978",
    lossless=True,
    law=_match_law,
)
