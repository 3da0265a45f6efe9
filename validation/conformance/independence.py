"""Evidence against the independence of two observations, whatever their laws are."""

import math
from collections.abc import Mapping

import numpy as np

from specsim.errors import InputError
from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.evidence import MISS, Component, dirichlet_regret, log_dirichlet, mixture


class IndependenceEvidence:
    """A test of counts of pairs; it may be looked at any time.

    groupings: named views of an outcome: integer arrays of shape ``(outcomes,)`` that give every outcome a
        group.

    For each grouping, the Dirichlet (1/2, ...) mixture over all laws of pairs of groups is divided by the
    largest likelihood of any product of two laws (universal inference, 1912.11436): whichever product is the
    truth, the quotient is at most a martingale of mean 1. The e-value is the average over the groupings.
    """

    def __init__(self, groupings: Mapping[str, Integers]) -> None:
        self.groupings = {name: np.asarray(groups, dtype=np.int64) for name, groups in groupings.items()}
        sizes = {len(groups) for groups in self.groupings.values()}
        if len(sizes) != 1:
            raise InputError("groupings must have one entry per outcome, all of them")
        self.outcomes = sizes.pop()
        self.alternatives: dict[str, Floats] = {}

    def components(self, counts: Integers) -> list[Component]:
        """Return the log ratio of every grouping at counts of pairs, shape ``(outcomes, outcomes)``."""
        table = np.asarray(counts)
        if table.shape != (self.outcomes, self.outcomes):
            raise InputError(f"counts has shape {table.shape}; give {(self.outcomes, self.outcomes)}")
        found = []
        for name, groups in self.groupings.items():
            pairs = self._grouped(table, groups)
            value = float(log_dirichlet(pairs.reshape(1, -1))[0]) - _largest_product(pairs)
            found.append(Component(name=name, weight=1 / len(self.groupings), log_ratio=value))
        return found

    def log_e(self, counts: Integers) -> float:
        """Return the natural logarithm of the e-value at these counts."""
        return mixture([(item.weight, item.log_ratio) for item in self.components(counts)])

    def power(self, samples: int, log_threshold: float, miss: float = MISS) -> float:
        """Return the total variation distance of the law of pairs from the product of its margins, caught.

        With probability at least ``1 - miss``, in the coarsest grouping: the empirical law is close to the
        truth (mean and bounded differences), so are its margins, and the rest is as in `Evidence.power`.
        """
        best = 1.0
        for groups in self.groupings.values():
            cells = (int(groups.max()) + 1) ** 2
            need = log_threshold + math.log(len(self.groupings))
            need += float(dirichlet_regret(np.array([float(samples)]), np.array([cells]))[0])
            spread = 0.5 * math.sqrt((cells - 1) / samples) + math.sqrt(math.log(1 / miss) / (2 * samples))
            best = min(best, math.sqrt(need / (2 * samples)) + 3 * spread)
        return best

    def expected(self, counts: Integers) -> Floats:
        """Return the product of the margins of the counts, shape ``(1, outcomes ** 2)``."""
        table = np.asarray(counts, dtype=np.float64).reshape(self.outcomes, self.outcomes)
        total = max(float(table.sum()), 1.0)
        product = np.outer(table.sum(axis=1), table.sum(axis=0)) / total**2
        return product.reshape(1, -1)

    def _grouped(self, table: Integers, groups: Integers) -> Integers:
        size = int(groups.max()) + 1
        pairs = np.zeros((size, size), dtype=np.int64)
        np.add.at(pairs, (groups[:, None], groups[None, :]), table)
        return pairs


def _largest_product(pairs: Integers) -> float:
    """Return the largest log likelihood of the counts under any product of two laws."""
    total = pairs.sum()
    value = 0.0
    for margin in (pairs.sum(axis=1), pairs.sum(axis=0)):
        seen = margin[margin > 0]
        value += float((seen * np.log(seen / total)).sum())
    return value
