"""Fan-outs of speculative speculative decoding: the best split of a budget, and the geometric one.

2603.03251, Theorem 12 as secondary sources report it, splits the guesses of a round geometrically over the
accepted lengths. Its assumptions are one acceptance rate and misses that fall as a power of the fan-out. On a
pair the share of guessed outcomes is a sum over the positions, so that the best whole numbers follow from a
dynamic programme over positions and guesses left.
"""

from __future__ import annotations

import numpy as np

from specsim.errors import InputError
from specsim.support.arrays import Floats
from specsim.support.checks import whole
from specsim.theory.arithmetic.pair_tables import Pair, tables_of
from specsim.theory.laws.pearl import recurrent_law
from specsim.theory.laws.ssd import SsdSystem


def fan_out_hits(pair: Pair, draft_length: int, *, ranked_by: Pair | None = None) -> Floats:
    """Return the share of rounds of long runs that are guessed after k accepted tokens with F guesses there.

    Shape ``(draft_length + 1, tokens + 1)``, by k and F. Both speculators draw from the rows of `pair`, so
    that where rounds start does not depend on the guesses. Row sums of a choice of F are `SsdRounds.hit`.

    Parameters
    ----------
    pair, draft_length, ranked_by
        As in `ssd_rounds`.

    Examples
    --------
    >>> from specsim import parse_pair, theory
    >>> pair = parse_pair("random:contexts=4,horizon=9,seed=1,stationary=yes")
    >>> table = theory.fan_out_hits(pair, 2)
    >>> float(round(table[0, 1] + table[1, 3] + table[2, 2], 6))
    0.507602
    >>> round(theory.ssd_rounds(pair, 2, (1, 3, 2)).hit, 6)
    0.507602
    """
    tables = tables_of(pair)
    if not tables.stationary:
        raise InputError("the rows change from step to step; give a stationary pair")
    longest = whole("draft_length", draft_length, 1)
    found = np.zeros((longest + 1, tables.tokens + 1))
    start = None
    for guessed in range(tables.tokens + 1):
        moves = list(SsdSystem(pair, longest, guessed, ranked_by=ranked_by).finals(1))
        if start is None:
            start = recurrent_law(np.sum([miss + hit for _, miss, hit in moves], axis=0))
        found[:, guessed] = [(start @ hit).sum() for _, _, hit in moves]
    return found


def best_fan_out(
    pair: Pair, draft_length: int, budget: int, *, ranked_by: Pair | None = None
) -> tuple[int, ...]:
    """Return the fan-outs of the largest share of guessed outcomes in long runs, by accepted length.

    Parameters
    ----------
    pair, draft_length, ranked_by
        As in `ssd_rounds`; both speculators draw from the rows of `pair`.
    budget
        Guesses of a round, over all accepted lengths. More than can be made are not.

    Notes
    -----
    A dynamic programme over positions and guesses left. Taking the next best guess one by one is not enough:
    the tokens are guessed in the order of the draft, and a guess that is worth nothing may stand before a
    good one.

    Examples
    --------
    >>> from specsim import parse_pair, theory
    >>> pair = parse_pair("random:contexts=4,horizon=9,seed=1,stationary=yes")
    >>> theory.best_fan_out(pair, 2, 6)
    (3, 0, 3)
    >>> [round(theory.ssd_rounds(pair, 2, split).hit, 4) for split in ((2, 2, 2), (3, 1, 2), (3, 0, 3))]
    [0.5607, 0.5933, 0.7193]
    """
    budget = whole("budget", budget, 0)
    table = fan_out_hits(pair, draft_length, ranked_by=ranked_by)
    places, size = table.shape
    budget = min(budget, places * (size - 1))
    best = np.zeros((places + 1, budget + 1))
    choice = np.zeros((places, budget + 1), dtype=np.int64)
    for place in reversed(range(places)):
        for left in range(budget + 1):
            values = [table[place, n] + best[place + 1, left - n] for n in range(min(size - 1, left) + 1)]
            choice[place, left] = int(np.argmax(np.round(values, 15)))
            best[place, left] = max(values)
    found, left = [], budget
    for place in range(places):
        found.append(int(choice[place, left]))
        left -= found[-1]
    return tuple(found)


def geometric_fan_out(acceptance: float, draft_length: int, budget: float, exponent: float) -> Floats:
    """Return the fan-outs of 2603.03251, Theorem 12, ``(draft_length + 1,)``, which are no whole numbers.

    Parameters
    ----------
    acceptance
        a, the probability that a drafted token is accepted, above 0 and below 1.
    draft_length
        K.
    budget
        The sum of the fan-outs.
    exponent
        r: a position is missed with probability F^-r.

    Notes
    -----
    Least is the sum of a^k (1 - a) F_k^-r over k < K and a^K F_K^-r; F_k is proportional to a^(k / (1 + r)),
    and F_K to a^(K / (1 + r)) (1 - a)^(-1 / (1 + r)). Known from secondary sources; the optimum is checked.

    Examples
    --------
    >>> geometric_fan_out(0.64, 1, 7, 1.0)
    array([3., 4.])
    """
    longest = whole("draft_length", draft_length, 1)
    if not (0 < acceptance < 1 and exponent > 0 and budget > 0):
        raise InputError(
            f"acceptance is {acceptance!r}, exponent {exponent!r} and budget {budget!r}; give an acceptance "
            "above 0 and below 1, and positive numbers"
        )
    weights = acceptance ** np.arange(longest + 1.0)
    weights[:-1] *= 1 - acceptance
    shares = weights ** (1 / (1 + exponent))
    return np.asarray(budget * shares / shares.sum())


def whole_fan_out(fan_out: Floats) -> tuple[int, ...]:
    """Return whole numbers of the same sum, by largest remainders.

    Examples
    --------
    >>> whole_fan_out(np.array([2.5, 1.2, 1.3]))
    (3, 1, 1)
    """
    try:
        values = np.asarray(fan_out, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        values = np.array(np.nan)
    if values.ndim != 1 or not ((values >= 0) & (values < 2**53)).all():
        raise InputError(f"fan_out is {fan_out!r}; give one number of guesses for each position, at least 0")
    found = np.floor(values + 1e-12).astype(np.int64)
    order = np.argsort(-(values - found), kind="stable")
    found[order[: round(values.sum()) - found.sum()]] += 1
    return tuple(found.tolist())
