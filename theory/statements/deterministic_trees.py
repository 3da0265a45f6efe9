"""Limits of draft trees that are chosen without randomness, as functions of the number of drafted tokens."""

from fractions import Fraction
from heapq import heappop, heappush
from typing import Any, Literal, overload

import numpy as np

from specsim.errors import InputError, TooLargeError
from specsim.support.checks import whole
from specsim.theory.arithmetic.numbers import as_fraction
from specsim.theory.arithmetic.pair_tables import Pair, tables_of
from specsim.theory.laws.target import initial_law, rows_of

_MOST_NODES = 2**20


@overload
def best_tree(
    pair: Pair, nodes: int, *, horizon: int | None = None, exact: Literal[False] = False
) -> float: ...
@overload
def best_tree(pair: Pair, nodes: int, *, horizon: int | None = None, exact: Literal[True]) -> Fraction: ...
@overload
def best_tree(pair: Pair, nodes: int, *, horizon: int | None = None, exact: bool) -> float | Fraction: ...
def best_tree(pair: Pair, nodes: int, *, horizon: int | None = None, exact: bool = False) -> float | Fraction:
    """Return the largest expected accepted length of a tree of drafted tokens that is fixed in advance.

    A fixed tree is accepted down to where the target's text leaves it, so that its expected accepted length
    is the sum of the target's probabilities of its prefixes. A prefix is never likelier than its beginnings:
    the likeliest `nodes` prefixes are a tree, and no tree does better. The rules ``match`` and
    ``summed-coin`` attain it.

    Parameters
    ----------
    pair
        Only its target and its initial law matter. The tree may depend on the first context.
    nodes
        Drafted tokens, from 1 to 2^20.
    horizon
        Tokens to emit, and the greatest depth. Defaults to None, the pair's own.
    exact
        Whether to return a Fraction. Defaults to False, a float.

    Examples
    --------
    >>> from specsim.theory import RationalPair
    >>> pair = RationalPair.independent([Fraction(2, 3), Fraction(1, 3)], [1, 0], horizon=2)
    >>> best_tree(pair, 2, exact=True), best_tree(pair, 3, exact=True)
    (Fraction(10, 9), Fraction(13, 9))
    """
    tables = tables_of(pair)
    horizon = tables.check_horizon(horizon)
    nodes = whole("nodes", nodes, 1)
    if nodes > _MOST_NODES:
        raise TooLargeError(f"nodes is {nodes}, more than {_MOST_NODES}; use a smaller tree")
    rows = [
        rows_of(tables, step, exact)[0] for step in range(1 if tables.stationary else min(horizon, nodes))
    ]
    total: Any = Fraction(0) if exact else 0.0
    for context, mass in enumerate(initial_law(tables, exact)):
        if not mass:
            continue
        # The likeliest prefix first; the counter keeps ties in the order in which they were found.
        waiting: list[Any] = [(-mass, 0, 0, context)]
        counter = taken = 0
        while waiting and taken <= nodes:
            negative, _, depth, here = heappop(waiting)
            total -= negative if depth else 0
            taken += 1
            if depth < horizon:
                row = rows[0 if len(rows) == 1 else depth][here]
                for token in np.flatnonzero(row).tolist():
                    counter += 1
                    after = int(tables.next_context[here, token])
                    heappush(waiting, (negative * row[token], counter, depth + 1, after))
    return as_fraction(total) if exact else float(total)


def branching_bound(pair: Pair, nodes: int) -> float:
    """Return the leading term of the branching-random-walk bound on deterministic draft trees.

    The bound of 2512.11718 (abstract) on the tokens of a round with `nodes` verified nodes is
    ``(m + m2) ln(nodes) / m^2 + O(1)``; m is the mean entropy of the target's rows in nats and m2 the mean of
    ``sum T ln(T)^2``, over the target's stationary law of the contexts. The constant in O(1) is not
    stated in what could be read, so that this is a trend and no bound at any given number of nodes;
    `best_tree` is the exact limit.

    Parameters
    ----------
    pair
        A stationary pair.
    nodes
        Verified nodes, at least 1.

    Raises
    ------
    InputError
        The rows change from step to step, or every row of the target is certain (m is 0).

    Examples
    --------
    >>> from specsim.theory import RationalPair
    >>> pair = RationalPair.independent([Fraction(1, 2), Fraction(1, 2)], [1, 0], horizon=2)
    >>> round(branching_bound(pair, 1024), 4)  # entropy ln 2: (1 + ln 2) log2(1024)
    16.9315
    """
    tables = tables_of(pair)
    nodes = whole("nodes", nodes, 1)
    if not tables.stationary:
        raise InputError("the rows change from step to step; give a stationary pair")
    target = tables.target[0]
    # The law of the context after many steps, whichever comes first; averaged, so that periods do not matter.
    step = np.zeros((tables.contexts, tables.contexts))
    np.add.at(step, (np.arange(tables.contexts)[:, None], tables.next_context), target)
    matrix = np.vstack([np.eye(tables.contexts) - step.T, np.ones(tables.contexts)])
    law = np.linalg.lstsq(matrix, np.append(np.zeros(tables.contexts), 1.0), rcond=None)[0]
    logarithms = np.log(np.where(target > 0, target, 1.0))
    first, second = (float(law @ (target * (-logarithms) ** power).sum(axis=1)) for power in (1, 2))
    if first <= 0:
        raise InputError("every row of the target is certain, so that one path is never rejected")
    return (first + second) * float(np.log(nodes)) / first**2
