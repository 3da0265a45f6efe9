"""Whole laws: every cell by its exact binomial, and the relative entropy of the empirical law."""

import math

import numpy as np
from numpy.typing import ArrayLike

from specsim.errors import InputError
from specsim.support.arrays import Floats, Integers
from specsim.validation.statistics.binomial import (
    detectable_by_binomial_tails,
    two_sided_p_values,
    worst_member,
)
from specsim.validation.statistics.decision import MISS, Decision, check_level, check_runs, smallest_runs

#: Taken off every relative entropy: rounding of the null, which matters when nothing is random.
SLACK = 1e-12

#: Above this many cells the power statement uses the relative entropy alone.
MOST_CELLS_FOR_POWER = 4096


def entropy_log_tail(divergence: float, runs: int, cells: int) -> float:
    """Return the logarithm of a bound of P(KL(empirical || law) >= divergence).

    ``(e n d / (k - 1))^(k - 1) exp(-n d)`` for ``d > (k - 1) / n``, else 1 (1904.02291, Theorem I.2).
    """
    if cells <= 1:
        return 0.0 if divergence <= 0 else -math.inf
    if math.isinf(divergence):
        return -math.inf
    ratio = runs * divergence / (cells - 1)
    if ratio <= 1:
        return 0.0
    return (cells - 1) * (1 + math.log(ratio) - ratio)


def entropy_threshold(level: float, runs: int, cells: int) -> float:
    """Return the divergence at which the bound of `entropy_log_tail` equals `level`."""
    if cells <= 1:
        return 0.0
    from scipy.optimize import brentq

    wanted = -math.log(level) / (cells - 1)
    # x - 1 - log x = wanted has its root between 1 and this.
    top = 1 + wanted + math.sqrt(2 * wanted) + math.log1p(wanted)
    ratio = brentq(lambda x: x - 1 - math.log(x) - wanted, 1.0, 2 * top + 2, rtol=1e-13)
    return float(ratio) * (cells - 1) / runs + SLACK


def decide_law_by_cells_and_entropy(
    *, counts: ArrayLike, runs: int, probabilities: ArrayLike, alpha: float
) -> Decision:
    """Test that each row of counts is a sample of the law in the same row.

    Each row has ``alpha`` divided by the number of rows. Half of that goes to exact two-sided binomial tests
    of the cells (Bonferroni), half to the relative entropy. Cells of probability zero must be empty; they
    cost nothing. False-alarm rate: at most `alpha`, for any dependence between the rows.

    Parameters
    ----------
    counts
        Integers, shape ``(rows, cells)`` or ``(cells,)``. Each row sums to `runs`.
    runs
        Number of samples in each row.
    probabilities
        The null's laws, same shape.
    alpha
        Level of all rows together.

    Returns
    -------
    Decision
        ``where`` is the flat index of the worst cell of the worst row, ``detail`` the total variation
        distance between that row's empirical law and its null.
    """
    check_runs(runs)
    check_level("alpha", alpha)
    table, laws = _rows(counts), _laws(probabilities)
    if table.shape != laws.shape:
        raise InputError(f"counts has shape {table.shape} and probabilities {laws.shape}; they must be equal")
    if not np.issubdtype(table.dtype, np.integer) or table.min() < 0:
        raise InputError("counts must be integers of at least 0")
    totals = table.sum(axis=1)
    if (totals != runs).any():
        row = int(np.flatnonzero(totals != runs)[0])
        raise InputError(
            f"counts[{row}] sums to {int(totals[row])}, not to the {runs} runs; the tallies are wrong"
        )
    values = two_sided_p_values(table, runs, laws)
    positive = laws > 0
    empirical = table / runs
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(table > 0, empirical * np.log(empirical / laws), 0.0)
    divergences = np.maximum(terms.sum(axis=1) - SLACK, 0.0)
    support = positive.sum(axis=1)
    cell_p = np.minimum(1.0, values.min(axis=1) * support)
    entropy_p = np.array(
        [
            math.exp(entropy_log_tail(float(d), runs, int(k)))
            for d, k in zip(divergences, support, strict=True)
        ]
    )
    outside = (np.where(positive, 0, table).sum(axis=1)) > 0
    row_p = np.where(outside, 0.0, np.minimum(1.0, 2 * np.minimum(cell_p, entropy_p)))
    distances = 0.5 * np.abs(empirical - laws).sum(axis=1)
    row = int(np.lexsort((-distances, row_p))[0])
    cell = worst_member(values[row], empirical[row] - laws[row], laws[row])
    expected = float(laws[row, cell])
    p_value = min(1.0, float(row_p[row]) * len(laws))
    detail = f"total variation distance {distances[row]:.3g}"
    if outside[row]:
        detail += "; counts in cells of probability zero"
    return Decision(
        agrees=p_value > alpha,
        p_value=p_value,
        observed=float(empirical[row, cell]),
        expected=expected,
        standard_error=math.sqrt(expected * (1 - expected) / runs),
        where=row * laws.shape[1] + cell,
        detail=detail,
    )


def min_discrepancy_of_law_by_cells_and_entropy(
    *, runs: int, probabilities: ArrayLike, alpha: float, miss: float = MISS
) -> float:
    """Return a total variation distance, of any row, that is caught with probability at least ``1 - miss``.

    The smaller of two bounds. Cells: were every cell closer than what its binomial test catches, the distance
    would be below half the sum of those. Entropy: a row that passes has an empirical law within
    ``sqrt(threshold / 2)`` of the null (Pinsker), and the empirical law is within
    ``sqrt((k - 1) / n) / 2 + sqrt(log(1 / miss) / (2 n))`` of the truth (mean, and bounded differences).
    All cells of probability zero act as one.
    """
    check_runs(runs)
    check_level("alpha", alpha)
    check_level("miss", miss)
    laws = _laws(probabilities)
    support = (laws > 0).sum(axis=1)
    share = alpha / len(laws)
    worst = 0.0
    for row, cells in zip(laws, support, strict=True):
        spare = bool(cells < row.size)
        found = _caught_by_entropy(runs, int(cells), spare, share, miss)
        if laws.size <= MOST_CELLS_FOR_POWER:
            caught = detectable_by_binomial_tails(runs, row[row > 0], share / (2 * int(cells)), miss).sum()
            found = min(found, 0.5 * (float(caught) + spare * -math.expm1(math.log(miss) / runs)))
        worst = max(worst, min(found, 1.0))
    return worst


def min_runs_for_law_by_cells_and_entropy(
    *, discrepancy: float, probabilities: ArrayLike, alpha: float, miss: float = MISS
) -> int:
    """Return a number of runs at which the distance `discrepancy` is caught.

    By the entropy bound alone, which is quick; where the cells do better, fewer runs would do.
    """
    check_level("alpha", alpha)
    check_level("miss", miss)
    laws = _laws(probabilities)
    kinds = {(int(cells), bool(cells < laws.shape[1])) for cells in (laws > 0).sum(axis=1)}
    share = alpha / len(laws)
    return smallest_runs(
        lambda runs: max(_caught_by_entropy(runs, cells, spare, share, miss) for cells, spare in kinds),
        discrepancy,
    )


def _caught_by_entropy(runs: int, cells: int, spare: bool, share: float, miss: float) -> float:
    return (
        math.sqrt(entropy_threshold(share / 2, runs, cells) / 2)
        + 0.5 * math.sqrt((cells - 1 + spare) / runs)
        + math.sqrt(math.log(1 / miss) / (2 * runs))
    )


def _rows(values: ArrayLike) -> Integers:
    array = np.asarray(values)
    if array.ndim not in (1, 2) or array.size == 0:
        raise InputError(f"counts has shape {array.shape}; give (rows, cells) or (cells,)")
    return np.atleast_2d(array)


def _laws(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim not in (1, 2) or array.size == 0:
        raise InputError(f"probabilities has shape {array.shape}; give (rows, cells) or (cells,)")
    laws = np.atleast_2d(array)
    if not (np.isfinite(laws).all() and laws.min() >= -1e-9):
        raise InputError("probabilities has an entry that is negative or not finite; give laws")
    sums = laws.sum(axis=1)
    if (np.abs(sums - 1) > 1e-9).any():
        row = int(np.abs(sums - 1).argmax())
        raise InputError(f"probabilities[{row}] sums to {sums[row]!r}; a law sums to 1")
    return np.clip(laws, 0.0, 1.0)
