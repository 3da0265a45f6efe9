"""The step law of the rule ``gumbel``: draft and target are drawn with the same noise."""

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, divided, one_of, positive, without_tokens, zeros
from specsim.theory.step_laws.shared_noise import Mean, decays, first_match

Integers = NDArray[np.integer]

#: Tokens of rows that are handled at once.
_CHUNK = 2**9


def node_step(target: Array, draft: Array, tokens: Integers) -> tuple[Array, Array]:
    """Descend into the first child that is the target's draw, given all children."""
    children = tokens.shape[-1]
    if children == 1:
        law = second_draw_law(draft, target, tokens[..., 0])
        return at_token(law, tokens), without_tokens(law, tokens)
    shape = np.broadcast_shapes(target.shape, draft.shape, (*tokens.shape[:-1], 1))
    target, draft = np.broadcast_to(target, shape), np.broadcast_to(draft, shape)
    *by_turn, order, mean = _draws(target, draft, children)
    rank = np.argsort(order, axis=-1, kind="stable")
    behind, later = (np.take_along_axis(values, rank[..., None], axis=-2) for values in by_turn)
    chosen = np.broadcast_to(tokens, (*shape[:-1], children))[..., None]
    tails = np.take_along_axis(behind, chosen, axis=-2)
    law = zeros(shape, target)
    for k in range(children):
        rest = tails[..., :1, :] * 0 + one_of(target)
        for j in range(children):
            if j != k:
                rest = rest * tails[..., j : j + 1, :]
        # The noise of child k decides for y: it is y itself, or a token whose turn is before that of y.
        before = (rank > at_token(rank, tokens[..., k : k + 1]))[..., None]
        passed = np.where(before, tails[..., k : k + 1, :] - behind, behind * 0)
        same = ~before & (np.arange(shape[-1])[:, None] == chosen[..., k : k + 1, :])
        passed = np.where(same, later * divided(one_of(draft), draft)[..., None], passed)
        law = law + target * mean(passed * rest)
    law = law / children
    taken = zeros((*shape[:-1], children), target)
    for k in range(children):
        taken[..., k : k + 1] = at_token(law, tokens[..., k : k + 1])
        law = without_tokens(law, tokens[..., k : k + 1])
    return taken, law


def node(target: Array, draft: Array, children: int) -> tuple[Array, Array]:
    """Sum the children out, of tokens in the order of turns."""
    shape = np.broadcast_shapes(target.shape, draft.shape)
    rows = [np.broadcast_to(table, shape).reshape(-1, shape[-1]) for table in (target, draft)]
    size = max(1, _CHUNK // shape[-1])
    taken, final = zeros((len(rows[0]), children, shape[-1]), target), zeros(rows[0].shape, target)
    for first in range(0, len(rows[0]), size):
        part = slice(first, first + size)
        t, d = (table[part] for table in rows)
        behind, later, order, mean = _draws(t, d, children)
        t, d = (np.take_along_axis(table, order, axis=-1) for table in (t, d))
        descents, stops = first_match(t, later, d[..., None] * behind, children, mean)
        np.put_along_axis(taken[part], order[:, None], descents, axis=-1)
        np.put_along_axis(final[part], order, stops, axis=-1)
    return taken.reshape(*shape[:-1], children, shape[-1]), final.reshape(shape)


def _draws(target: Array, draft: Array, children: int) -> tuple[Array, Array, Integers, Mean]:
    """Return what happens in the noise of a child, as functions of the time t of the target's draw.

    The noise of a child has a standard exponential for each token: the target draws the token of the least
    quotient by T over the noises of all children, a child that of the least quotient by D in its own. With
    the target's draw at t, the exponential of y is above ``t T(y)``. So the least quotient of a child is
    above ``u t`` with probability ``exp(-t a(u))``, ``a(u) = sum_i (u D_i - T_i)_+``, and the child can be y
    where u is above ``T(y) / D(y)``, the turn of y.

    Returns: ``(..., V, Q)``, by order of turns: the probability, divided by D(y), that a child is y when the
    noise of another one decides; the probability that it is y when its own noise decides for y; the order
    of turns, undrafted tokens last; and what takes means.
    """
    turns = divided(target, draft)
    turns = np.where(draft > 0, turns, turns.max(axis=-1, keepdims=True) + one_of(turns))
    order = np.argsort(turns, axis=-1, kind="stable")
    times, by_turn, targets = (np.take_along_axis(table, order, axis=-1) for table in (turns, draft, target))
    drafted = by_turn > 0
    slopes = by_turn.cumsum(axis=-1)
    rates = positive(times * slopes - np.where(drafted, targets, targets * 0).cumsum(axis=-1))
    open_until, mean = decays(rates, children)
    open_until = open_until * np.where(drafted, one_of(draft), one_of(draft) * 0)[..., None]
    after = np.concatenate([open_until[..., 1:, :], open_until[..., :1, :] * 0], axis=-2)
    pieces = (open_until - after) * divided(one_of(slopes), slopes)[..., None]
    behind = pieces[..., ::-1, :].cumsum(axis=-2)[..., ::-1, :]
    return behind, open_until, order, mean


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
