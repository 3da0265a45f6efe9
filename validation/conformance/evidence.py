"""Evidence against laws of categorical observations that may be looked at as often as one likes.

The e-value is a mixture of likelihood ratios, each of which is a non-negative martingale of mean 1 when every
observation has, given all before it, the null's law of its stratum. By Ville's inequality it ever reaches
``1 / alpha`` with probability at most `alpha`, whenever sampling stops and for whatever reason.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specsim.errors import InputError
from specsim.support.arrays import Bools, Floats, Integers

#: Probability of missing a discrepancy of the stated size.
MISS = 1e-3

#: Above this many cells the mixture over all laws is left out; coarser partitions do its work.
MOST_CELLS = 1024

#: Rounding of float64 in the null's own numbers, relative.
ROUNDING = 1e-13

#: Factors by which one cell may be likelier than it should be, in several strata at once.
FACTORS = (0.0, 0.25, 4.0, 64.0, 1024.0)

_LOG_SQRT_PI = 0.5 * math.log(math.pi)


@dataclass(frozen=True, kw_only=True)
class Component:
    """One likelihood ratio of the mixture: its name, its weight, and its logarithm."""

    name: str
    weight: float
    log_ratio: float


class Evidence:
    """A test of counts in strata against a law for each stratum.

    null: laws, ``(strata, cells)``; every row sums to 1. A count where the null is 0 is infinite evidence.
    alternatives: named laws of the same shape, a mapping or pairs. The ratio against each is most powerful
        when it is the truth.
    partitions: coarser views of the cells: integer arrays of shape ``(cells,)``, or ``(strata, cells)``, that
        give every cell a group.
    pools: sets of strata in which the same cell may be wrong, by one of `FACTORS` in all of them.
    disjoint: whether every observation is counted in one stratum. False: in several, of which those that an
        alternative changes must have different observations; nothing is said of all strata together then.
    tolerance: null laws may be larger than stated by this factor minus 1 in every cell (rounding of rows in a
        narrow float type). The e-value is then divided by ``(1 + tolerance)`` to the number of observations.

    The mixture: half of the weight on the alternatives, half on views that know of none: the Dirichlet
    (1/2, ..., 1/2) mixture over all laws, once averaged and once multiplied over the strata; the same for
    every partition, averaged; for every cell of every stratum against all others, averaged; and for every
    cell of the strata of a pool together, averaged with weights that are half even and half the cell's mass.
    Weights are fixed before anything is seen.
    """

    def __init__(
        self,
        null: Floats,
        *,
        alternatives: Mapping[str, Floats] | Iterable[tuple[str, Floats]] = (),
        partitions: Sequence[Integers] = (),
        pools: Sequence[Integers] = (),
        disjoint: bool = True,
        tolerance: float = 0.0,
    ) -> None:
        self.null = np.atleast_2d(np.asarray(null, dtype=np.float64))
        if not np.isfinite(self.null).all() or (self.null < -1e-12).any():
            raise InputError("null has an entry that is negative or not finite; give laws")
        if (np.abs(self.null.sum(axis=1) - 1) > 1e-9).any():
            raise InputError("null has a row that does not sum to 1; give laws")
        self.null = np.clip(self.null, 0.0, 1.0)
        if not 0 <= tolerance < 1:
            raise InputError(f"tolerance is {tolerance}; give a number in [0, 1)")
        self.tolerance = tolerance
        self.disjoint = disjoint
        with np.errstate(divide="ignore"):
            self._log_null = np.log(self.null)
        self._log_ratios: dict[str, Floats] = {}
        self._stacked: Floats | None = None
        self._laws: dict[str, Floats] = {}
        self._equal: set[str] = set()
        for name, law in alternatives.items() if isinstance(alternatives, Mapping) else alternatives:
            self._add_alternative(name, np.atleast_2d(np.asarray(law, dtype=np.float64)))
        #: Names of the alternatives that differ from the null, and of those that do not.
        self.alternatives = frozenset(self._log_ratios)
        self.equal = frozenset(self._equal)
        self.partitions = [self._partition(groups) for groups in partitions]
        self.pools = [np.asarray(pool, dtype=np.int64) for pool in pools]

    def _add_alternative(self, name: str, law: Floats) -> None:
        if law.shape != self.null.shape:
            raise InputError(f"alternative {name} has shape {law.shape}; give {self.null.shape}")
        if not np.isfinite(law).all():
            raise InputError(f"alternative {name} has an entry that is not finite; give laws")
        if np.abs(law - self.null).max() <= 1e-9:
            self._equal.add(name)
            return
        if law.shape[1] <= MOST_CELLS:
            self._laws[name] = law
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.log(np.clip(law, 0.0, 1.0)) - self._log_null
        self._log_ratios[name] = np.where(self.null > 0, ratios, np.inf)

    def _partition(self, groups: Integers) -> tuple[Integers, Floats]:
        table = np.broadcast_to(np.asarray(groups, dtype=np.int64), self.null.shape)
        return table, np.asarray(_grouped(self.null, table, int(table.max()) + 1), dtype=np.float64)

    @property
    def strata(self) -> int:
        """Number of strata."""
        return int(self.null.shape[0])

    def components(self, counts: Integers) -> list[Component]:
        """Return every likelihood ratio of the mixture at these counts, shape ``(strata, cells)``."""
        table = self._checked(counts)
        total = int(table.sum())
        if (table[self.null <= 0] > 0).any():
            return [Component(name="a count where the law is zero", weight=1.0, log_ratio=math.inf)]
        discount = total * (math.log1p(self.tolerance) + ROUNDING)
        found: list[Component] = []
        blind = 1.0
        if self._log_ratios:
            blind = 0.5
            weight = 0.5 / len(self._log_ratios)
            if self._stacked is None:
                self._stacked = np.array([ratios.ravel() for ratios in self._log_ratios.values()])
            seen = np.flatnonzero(table)
            values = (self._stacked[:, seen] * table.ravel()[seen]).sum(axis=1)
            for name, value in zip(self._log_ratios, values.tolist(), strict=True):
                found.append(Component(name=name, weight=weight, log_ratio=value - discount))
        views = self._views(table)
        for name, value in views:
            found.append(Component(name=name, weight=blind / len(views), log_ratio=value - discount))
        return found

    def log_e(self, counts: Integers) -> float:
        """Return the natural logarithm of the e-value at these counts."""
        return mixture([(item.weight, item.log_ratio) for item in self.components(counts)])

    def gain(self, counts: Integers, name: str) -> tuple[bool, float]:
        """Return whether the null makes counts impossible, and how much likelier an alternative is.

        The logarithm of the likelihood ratio of the counts that the null allows.
        """
        possible = (counts > 0) & (self.null > 0)
        value = float((counts[possible] * self._log_ratios[name][possible]).sum())
        return bool((counts[self.null <= 0] > 0).any()), value

    def agrees(self, counts: Integers, name: str, log_most: float = math.log(1e3)) -> bool:
        """Return whether the evidence of counts against one of the alternatives is below a bound.

        Where the alternative is not known, the null has to agree.
        """
        clipped = np.clip(self.law(name), 0.0, None)
        sums = clipped.sum(axis=1, keepdims=True)
        if (sums <= 0).any():
            return False
        other = Evidence(
            clipped / sums,
            partitions=[groups for groups, _ in self.partitions],
            pools=self.pools,
            disjoint=self.disjoint,
            tolerance=self.tolerance,
        )
        return other.log_e(counts) <= log_most

    def law(self, name: str) -> Floats:
        """Return the law of an alternative; where it is not known, the null's."""
        if name in self._laws or name not in self._log_ratios:
            return self._laws.get(name, self.null)
        ratios = self._log_ratios[name]
        finite = np.isfinite(ratios)
        return np.asarray(np.where(finite, self.null * np.exp(np.where(finite, ratios, 0.0)), 0.0))

    def log_likelihood(self, counts: Integers, name: str, spread: float = 0.0) -> float:
        """Return the log likelihood of counts under an alternative, or the null, up to a constant.

        spread: share of every stratum that equal chances of all cells have.
        """
        law = (1 - spread) * self.law(name) + spread / self.null.shape[1]
        seen = counts > 0
        if (law[seen] <= 0).any():
            return -math.inf
        return float((counts[seen] * np.log(law[seen])).sum())

    def _views(self, table: Integers) -> list[tuple[str, float]]:
        views: list[tuple[str, float]] = []
        if self.null.shape[1] <= MOST_CELLS:
            by_stratum = _dirichlet(table, self.null)
            views.append(("some stratum", _log_mean(by_stratum)))
            if self.strata > 1 and self.disjoint:
                views.append(("all strata", float(by_stratum.sum())))
        parts = [
            _dirichlet(np.asarray(_grouped(table, groups, law.shape[1]), dtype=np.int64), law)
            for groups, law in self.partitions
        ]
        if parts:
            single = np.array([_log_mean(part) for part in parts])
            joint = np.array([part.sum() for part in parts])
            views.append(("some partition", _log_mean(np.concatenate([single, joint]))))
        views.append(("some cell", _log_mean(_cells(table, self.null))))
        if self.pools:
            pooled = np.array([_scaled(table[pool], self.null[pool]) for pool in self.pools])
            views.append(("some cell of several strata", _log_mean(pooled)))
        return views

    def power(self, samples: Floats, log_threshold: float, miss: float = MISS) -> float:
        """Return the total variation distance, averaged over observations, that is caught.

        samples: number of observations of each stratum, shape ``(strata,)``.
        log_threshold: logarithm of the e-value that rejects.
        miss: probability of missing it.
        Returns: if the strata's laws differ from the null's by total variation distances whose average,
            weighted by the observations, is at least this (with very many cells: distances of the lumped
            laws), the e-value exceeds the threshold with probability at least ``1 - miss``; 1 when nothing
            can be promised. Finite-sample: the empirical laws are at least as far from the null on average
            (Jensen) and concentrate (bounded differences), the relative entropy is at least twice the squared
            distance (Pinsker), and a Dirichlet mixture loses at most its regret.
        """
        sizes = np.asarray(samples, dtype=np.float64)
        total = float(sizes.sum())
        if total < 1 or not self.disjoint:
            return 1.0
        fine = self.null.shape[1] <= MOST_CELLS
        views = fine + (fine and self.strata > 1) + bool(self.partitions) + 1 + bool(self.pools)
        share = (0.5 if self._log_ratios else 1.0) / views
        if fine:
            tables = [self.null]
        else:
            # Distances between the lumped laws, where single cells are too many; one partition of many.
            tables = [law for _, law in self.partitions]
            share /= 2 * max(len(tables), 1)
        found = 1.0
        for table in tables:
            regret = float(np.sum(dirichlet_regret(sizes, (table > 0).sum(axis=1))))
            need = log_threshold - math.log(share) + regret
            need += total * (math.log1p(self.tolerance) + ROUNDING)
            caught = math.sqrt(need / (2 * total)) + math.sqrt(math.log(1 / miss) / (2 * total))
            found = min(found, caught)
        return found

    def _checked(self, counts: Integers) -> Integers:
        table = np.atleast_2d(np.asarray(counts))
        if table.shape != self.null.shape:
            raise InputError(f"counts has shape {table.shape}; give {self.null.shape}")
        if not np.issubdtype(table.dtype, np.integer) or (table < 0).any():
            raise InputError("counts must be integers of at least 0")
        return table


def mixture(parts: Sequence[tuple[float, float]]) -> float:
    """Return log(sum of weight * exp(log ratio)), infinite when one of them is."""
    values = [value + math.log(weight) for weight, value in parts if weight > 0]
    top = max(values)
    if math.isinf(top):
        return top
    return top + math.log(sum(math.exp(value - top) for value in values))


def dirichlet_regret(samples: Floats, cells: Integers) -> Floats:
    """Return how much a Dirichlet (1/2, ...) mixture can lose on the best law, in nats, for each stratum.

    The largest loss is met when all observations fall into one cell, whatever the number of cells.
    """
    from scipy.special import gammaln

    half = cells / 2
    loss = gammaln(samples + half) - gammaln(half) - gammaln(samples + 0.5) + _LOG_SQRT_PI
    return np.where((samples > 0) & (cells > 1), loss, 0.0)


def total_variation_bound(counts: Integers, law: Floats, delta: float, look: int = 1) -> float:
    """Return an upper bound of the true law's total variation distance from `law`.

    The expected distance of an empirical law is at least the distance of the true one (convexity), and the
    empirical distance moves by at most ``1 / n`` per observation (bounded differences), so the bound is wrong
    with probability at most ``delta / (look (look + 1))``, and with probability at most `delta` at any of the
    looks 1, 2, 3, ...

    counts, law: shape ``(cells,)``.
    delta: error probability of all looks together.
    look: number of this look, from 1.
    """
    total = int(counts.sum())
    if total == 0:
        return 1.0
    distance = 0.5 * float(np.abs(counts / total - law).sum())
    radius = math.sqrt(math.log(look * (look + 1) / delta) / (2 * total))
    return min(1.0, distance + radius)


def samples_for_bound(cells: int, eps: float, delta: float) -> int:
    """Return about how many observations let a right sampler be certified to within `eps`."""
    # An empirical law of k cells is at most sqrt((k - 1) / n) / 2 away on average; looks cost a little more.
    root = 0.5 * math.sqrt(max(cells - 1, 1)) + math.sqrt(0.5 * math.log(200 / delta))
    return math.ceil((root / eps) ** 2)


def log_dirichlet(table: Integers, support: Bools | None = None) -> Floats:
    """Return, for each stratum, the log likelihood of counts under the Dirichlet (1/2, ...) mixture.

    table: counts, shape ``(strata, cells)``.
    support: cells that can occur, same shape. Defaults to None: all.
    """
    from scipy.special import gammaln

    possible = np.ones(table.shape, dtype=bool) if support is None else support
    cells = possible.sum(axis=1)
    entries = np.where(possible & (table > 0), gammaln(table + 0.5) - _LOG_SQRT_PI, 0.0)
    return gammaln(cells / 2) - gammaln(cells / 2 + table.sum(axis=1)) + entries.sum(axis=1)


def _dirichlet(table: Integers, laws: Floats) -> Floats:
    """Return, for each stratum, log of the Dirichlet (1/2, ...) mixture likelihood over the null's."""
    positive = laws > 0
    logs = np.where(positive, np.log(np.where(positive, laws, 1.0)), 0.0)
    values = log_dirichlet(table, positive) - (table * logs).sum(axis=1)
    return np.where(positive.sum(axis=1) > 1, values, 0.0)


def _cells(table: Integers, laws: Floats) -> Floats:
    """Return the log ratio of every uncertain cell of every stratum against all others."""
    from scipy.special import betaln

    uncertain = (laws > 0) & (laws < 1)
    if not uncertain.any():
        return np.zeros(1)
    sizes = np.broadcast_to(table.sum(axis=1, keepdims=True), table.shape)
    law = laws[uncertain]
    count, size = table[uncertain], sizes[uncertain]
    # Most cells of a wide table are empty, and those of a stratum have one marginal likelihood.
    empty = np.broadcast_to(betaln(0.5, sizes[:, :1] + 0.5), table.shape)[uncertain]
    values = empty - betaln(0.5, 0.5) - size * np.log1p(-law)
    seen = count > 0
    count, size, law = count[seen], size[seen], law[seen]
    marginal = betaln(count + 0.5, size - count + 0.5) - betaln(0.5, 0.5)
    values[seen] = marginal - count * np.log(law) - (size - count) * np.log1p(-law)
    return np.asarray(values, dtype=np.float64)


def _scaled(table: Integers, laws: Floats) -> float:
    """Return the log of the average ratio of laws in which one cell is scaled in every stratum alike.

    A cell's scaled probability is at most half way to 1; its weight is half 1 / cells, half its mean mass.
    """
    cells = laws.shape[1]
    mass = laws.mean(axis=0)
    with np.errstate(divide="ignore"):
        log_weights = np.log(0.5 / cells + 0.5 * mass)
    sizes = table.sum(axis=1, keepdims=True)
    certain = laws >= 1
    seen = np.nonzero(table)
    parts = []
    for factor in FACTORS:
        scaled = np.where(certain, laws, np.minimum(factor * laws, 0.5 * (1 + laws)))
        with np.errstate(divide="ignore", invalid="ignore"):
            others = np.where(certain, 0.0, np.log1p(-scaled) - np.log1p(-laws))
            values = (sizes * others).sum(axis=0)
            gains = np.where(certain[seen], 0.0, np.log(scaled[seen] / laws[seen]))
            np.add.at(values, seen[1], table[seen] * (gains - others[seen]))
        parts.append(_log_sum(values + log_weights))
    return _log_mean(np.array(parts))


def _grouped(table: NDArray[np.number], groups: Integers, count: int) -> NDArray[np.number]:
    strata = table.shape[0]
    keys = (groups + count * np.arange(strata)[:, None]).ravel()
    sums = np.bincount(keys, weights=table.ravel(), minlength=strata * count).reshape(strata, count)
    return np.rint(sums).astype(np.int64) if np.issubdtype(table.dtype, np.integer) else sums


def _log_sum(values: Floats) -> float:
    return _log_mean(values) + math.log(values.size)


def _log_mean(values: Floats) -> float:
    top = float(values.max())
    if math.isinf(top):
        return top
    return top + math.log(float(np.exp(values - top).mean()))
