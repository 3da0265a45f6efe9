"""The helpers that kernels call; a rule of one's own may call them too.

They are ordinary Python functions, and none of them ever returns a token whose weight is 0.
"""

import math
from typing import Any

import numpy as np

from specsim.engines.literal.compiling import helper
from specsim.engines.literal.drawing import coin_of, draw_row, words, words_at

#: Number of tokens from which excesses are drawn by thinning and measured by profiles.
WIDE = 256
#: Proposals of a thinned draw before the row is scanned instead, which changes no law.
_PROPOSALS = 1000
#: Below this, a difference of two sums has lost too many digits, and the tokens are added one by one.
_SMALL = 2.0**-20
#: Block of the second coin of a node.
_SECOND = 2**18 - 1
#: Number of random points of a node.
MOST_POINTS = 2**17 - 1


@helper
def children(step: Any, node: Any, nodes: Any) -> Any:
    """Return the children of a node as a range; empty at a leaf, also at one that the horizon made."""
    return range(min(step.first[node], nodes), min(step.first[node + 1], nodes))


@helper
def draw_weights(weights: Any, coin: Any) -> Any:
    """Return a token by non-negative weights ``(V,)`` of any sum; -1 when all are 0."""
    total = 0.0
    for weight in weights:
        total += weight
    level, reached, found = coin * total, 0.0, -1
    for token, weight in enumerate(weights):
        if weight > 0:
            found = token
            reached += weight
            if level < reached:
                break
    return found


@helper
def scanned_excess(step: Any, row: Any, scale: Any) -> Any:
    """Return the sum of ``(scale * target - draft)_+`` of a row, token by token."""
    total = 0.0
    for token in range(step.target.shape[1]):
        total += max(scale * step.target[row, token] - step.draft[row, token], 0.0)
    return total


@helper
def draw_scanned_excess(step: Any, row: Any, scale: Any) -> Any:
    """Return a token by ``(scale * target - draft)_+`` of a row with ``step.coin[0]``, token by token."""
    level, reached, found = step.coin[0] * scanned_excess(step, row, scale), 0.0, -1
    for token in range(step.target.shape[1]):
        weight = scale * step.target[row, token] - step.draft[row, token]
        if weight > 0:
            found = token
            reached += weight
            if level < reached:
                break
    return found


@helper
def excess(step: Any, row: Any, scale: Any) -> Any:
    """Return the sum of ``(scale * target - draft)_+`` of a row.

    In wide rows it is the difference of two sums, of the tokens with a draft / target below `scale`.
    """
    if step.profile.shape[0] == 0:
        return scanned_excess(step, row, scale)
    quotients, targets, drafts = step.profile[row, 0], step.profile[row, 1], step.profile[row, 2]
    count = np.searchsorted(quotients, scale)
    total = scale * targets[count] - drafts[count]
    if total < _SMALL:
        total = 0.0
        for k in range(count):
            weight = scale * (targets[k + 1] - targets[k]) - (drafts[k + 1] - drafts[k])
            total += max(weight, 0.0)
    return total


@helper
def draw_excess(step: Any, row: Any, scale: Any) -> Any:
    """Return a token by ``(scale * target - draft)_+`` of a row, by ``step.coin[0]``; -1 when all are 0.

    Wide rows are thinned: a token y of the target is proposed and kept with probability
    ``(scale T(y) - D(y))_+ / (scale T(y))``, by words of its own.
    """
    if step.target.shape[1] >= WIDE:
        for block in range(1, _PROPOSALS + 1):
            word, other = words(step.key, 0, block)
            token = draw_row(step.table, row, word >> np.uint64(32))
            weight = scale * step.target[row, token]
            if coin_of(other) * weight < weight - step.draft[row, token]:
                return token
    return draw_scanned_excess(step, row, scale)


@helper
def subtract(weights: Any, factor: Any, row: Any) -> Any:
    """Replace weights ``(V,)`` by ``(weights - factor * row)_+`` and return their sum."""
    total = 0.0
    for token in range(len(weights)):
        weights[token] = max(weights[token] - factor * row[token], 0.0)
        total += weights[token]
    return total


@helper
def copy(values: Any, weights: Any) -> None:
    """Copy values ``(V,)`` to the working space of weights ``(V,)``."""
    for token in range(len(weights)):
        weights[token] = values[token]


@helper
def powers(low: Any, high: Any, count: Any) -> Any:
    """Return ``(high^count - low^count) / (high - low)`` as a sum, which no difference spoils."""
    total, power = 0.0, 1.0
    for _ in range(count):
        total = total * low + power
        power = power * high
    return total


@helper
def untried(step: Any, node: Any, end: Any, weights: Any) -> Any:
    """Fill weights ``(V,)`` with the draft row after a node, without its children before `end`; their sum.

    Where no draft weight is left, all tokens that have not been tried have weight 1.
    """
    left = 0.0
    copy(step.draft[step.row[node]], weights)
    for child in range(step.first[node], end):
        weights[step.token[child]] = 0.0
    for weight in weights:
        left += weight
    if left == 0:
        for token in range(len(weights)):
            weights[token] = 1.0
        for child in range(step.first[node], end):
            weights[step.token[child]] = 0.0
        for weight in weights:
            left += weight
    return left


@helper
def second_coin(step: Any, node: Any) -> Any:
    """Return another uniform number in [0, 1) of a node, for rules that need two."""
    _, other = words(step.key, node, _SECOND)
    return coin_of(other)


@helper
def lasting_coin(step: Any, node: Any) -> Any:
    """Return a uniform number in [0, 1) of the position of a drafted token of a chain.

    Every round that drafts the position again gets the same number.
    """
    _, other = words_at(step.key, step.key[2] + np.uint64(node - 1), 0, _SECOND)
    return coin_of(other)


@helper
def race(step: Any, node: Any, weights: Any) -> Any:
    """Return the token with the least ``noise / weight``, which has the law of the weights ``(V,)``.

    The noise of a token is a standard exponential that depends on the node alone: races at one node with
    different weights run against the same noise.
    """
    return race_of_all(step, node, node + 1, weights)


@helper
def race_of_all(step: Any, first: Any, last: Any, weights: Any) -> Any:
    """Return the token with the least ``noise / weight`` over the noises of nodes ``first .. last - 1``."""
    best, found = np.inf, -1
    for node in range(first, last):
        even = odd = np.uint64(0)
        for token in range(len(weights)):
            if token % 2 == 0:
                even, odd = words(step.key, node, 1 + token // 2)
            if weights[token] > 0:
                time = -math.log1p(-coin_of(even if token % 2 == 0 else odd)) / weights[token]
                if found < 0 or time < best:
                    best, found = time, token
    return found


@helper
def point(step: Any, node: Any, number: Any) -> Any:
    """Return a random point of a node: a token, all alike, a height in [0, 1), and a time.

    The time since the point before it is exponential with mean 1 / V, so that points below a row of mass 1
    come at rate 1.
    """
    tokens = step.target.shape[1]
    place, height = words(step.key, node, 1 + 2 * number)
    wait, _ = words(step.key, node, 2 + 2 * number)
    return np.int64(coin_of(place) * tokens), coin_of(height), -math.log1p(-coin_of(wait)) / tokens
