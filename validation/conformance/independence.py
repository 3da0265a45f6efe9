"""Evidence against the independence of two observations, whatever their laws are."""

import itertools
import math

import numpy as np

from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.evidence import log_dirichlet

#: Weight of the guess made before anything is observed, in pairs; the share of equal outcomes in it.
GUESS, EQUAL = 8.0, 0.25


class ExchangeEvidence:
    """A test of pairs of outcomes in several ways; it may be looked at any time.

    ways: how many ways to pair there are. Each is a test of its own.
    cells: number of outcomes.
    counts, exchanged: the pairs that were observed, and those of outcomes of different repetitions; shape
        ``(ways, cells, cells)``.
    log_e: natural logarithm of the e-value of each way, shape ``(ways,)``.

    An experiment is repeated a few times. If the outcomes x and y at two places are independent, and those at
    one place have one law, all orders of the y of the repetitions are as likely given the x, whatever the
    laws of the two places are. With any p that is known before, the product of all ``p(x, y)``, divided by
    its average over all orders of the y, then has mean 1. Pairs of a way may have places in common as long as
    they form no circle: one after the other, each pair has a place that is new, and its outcomes come in any
    order whatever those before were. Pairs that are added later need a place that is new, too, or be of new
    repetitions. Here p follows the pairs that were added before.
    """

    def __init__(self, ways: int, cells: int) -> None:
        self.cells = cells
        self.counts = np.zeros((ways, cells, cells), dtype=np.int64)
        self.exchanged = np.zeros((ways, cells, cells), dtype=np.int64)
        self.log_e: Floats = np.zeros(ways)

    def add(self, ways: Integers, first: Integers, second: Integers) -> None:
        """Add pairs.

        ways: how each is paired, shape ``(pairs,)``.
        first, second: the outcomes of each pair in each repetition, ``(repetitions, pairs)``. A pair is left
            out of the repetitions in which one of its outcomes is negative.
        """
        used, index = np.unique(ways, return_inverse=True)
        guess = self._log_guess(used)[index]
        seen = np.minimum(first, second) >= 0
        for some in itertools.product((False, True), repeat=len(first)):
            chosen = np.flatnonzero((seen == np.array(some)[:, None]).all(axis=0))
            if sum(some) > 1 and len(chosen):
                left, right = (side[np.ix_(np.flatnonzero(some), chosen)] for side in (first, second))
                self._add(guess[chosen], ways[chosen], left, right)

    def _add(self, guess: Floats, way: Integers, first: Integers, second: Integers) -> None:
        """Add pairs that were all observed; `guess` is that of each pair's way, ``(pairs, cells, cells)``."""
        times = range(len(first))
        pair_number = np.arange(len(way))
        logs = {
            (one, other): guess[pair_number, first[one], second[other]]
            for one, other in itertools.product(times, repeat=2)
        }
        orders = [
            np.sum([logs[pair] for pair in enumerate(order)], axis=0)
            for order in itertools.permutations(times)
        ]
        factors = orders[0] - np.logaddexp.reduce(orders, axis=0) + math.log(len(orders))
        self.log_e += np.bincount(way, weights=factors, minlength=len(self.log_e))
        for one, other in logs:
            counts = self.counts if one == other else self.exchanged
            cell = (way * self.cells + first[one]) * self.cells + second[other]
            counts += np.bincount(cell, minlength=counts.size).reshape(counts.shape)

    def expected(self, way: int) -> Floats:
        """Return the law of outcomes of different repetitions, shape ``(cells, cells)``."""
        table = self.exchanged[way] + 0.5 / self.cells**2
        return np.asarray(table / table.sum())

    def _log_guess(self, ways: Integers) -> Floats:
        """Return the logarithm of what pairs of some ways are expected by those so far.

        Constants of a way cancel.
        """
        counts = self.counts[ways].astype(np.float64)
        left, right = counts.sum(axis=2) + 0.5, counts.sum(axis=1) + 0.5
        left, right = (side / side.sum(axis=1, keepdims=True) for side in (left, right))
        apart = left[:, :, None] * right[:, None, :]
        same = np.eye(self.cells) * ((left + right) / 2)[:, :, None]
        return np.asarray(np.log(counts + GUESS * ((1 - EQUAL) * apart + EQUAL * same)))


def log_places(counts: Integers) -> float:
    """Return the logarithm of the e-value against one law at all places.

    counts: shape ``(places, cells)``.

    The alternatives are a law for each place, and a law for one place and another for all others. Their
    Dirichlet mixtures are divided by the largest likelihood of any common law (universal inference,
    1912.11436), so that the mean is at most 1 whichever it is.
    """
    places = len(counts)
    if places < 2:
        return 0.0
    total = counts.sum(axis=0)
    own = log_dirichlet(counts)
    seen = total[total > 0]
    common = float((seen * np.log(seen / seen.sum())).sum())
    parts = own + log_dirichlet(total - counts) - math.log(2 * places)
    return float(np.logaddexp.reduce([*parts, float(own.sum()) - math.log(2)])) - common
