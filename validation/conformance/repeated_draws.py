"""Draws that are found again: in another row, at another place, or under a seed near the first one.

Every call gets the same rows, of known laws that give no token much. Two draws of a right sampler are then
seldom the same token, and two draws from one random number always are. How a sampler seeds rows, places and
rounds need not be known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from specsim.support.arrays import Bools, Floats, Integers
from specsim.validation.conformance.calling import SEED_RANGE, Caller, ContractError

#: Differences of seeds that are tried whatever the effort is, each so often: powers of 2, round numbers,
#: and numbers that seeds are often multiplied by.
FAR = (
    *(2**bit for bit in range(2, 30)),
    *(digit * 10**power for power in (3, 4, 5, 6, 7, 8) for digit in (2, 5, 10)),
    *(7919, 9973, 10007, 12345, 31337, 65537, 100003, 104729, 131071, 999983, 1000003, 16777619),
)
TIMES = 3
#: Those that are tried with options.
FEW_FAR = tuple(2**bit for bit in (9, 12, 17, 20, 25, 29))
#: Shares of the pairs that are the same token for another reason than chance.
SHARES = (0.15, 0.5, 0.95)
#: Equal pairs of a way from which on it is looked at, and how many ways are.
LEAST, MOST = 3, 200

#: Parameters of the symmetric Dirichlet mixtures of laws that give few tokens much.
SPARSE = (1 / 64, 1 / 8)
#: Evidence above which a way is said to stand out from others; share of a token that is always drawn, and
#: least draws of which that is said.
FITS, ALWAYS, SEVERAL = 1e3, 0.9, 5

#: Makes the tokens of one call, ``(rows, places)``, and the probability of each, 0 where nothing was drawn.
#: It gets a seed, or with `DrawsProbe.by_row` one for each row.
Draws = Callable[[Integers], tuple[Integers, Floats]]


def many_seeds(
    rng: np.random.Generator, near: int, most: int, far: tuple[int, ...] = FAR, times: int = TIMES
) -> Integers:
    """Return rising seeds less the first: `near` below `most`, and each of `far` behind so many of them."""
    close = [0, *(1 + rng.permutation(most - 1)[: near - 1]).tolist()]
    behind = [start + distance for distance in far if distance >= most for start in close[:times]]
    return np.unique([*close, *behind])


@dataclass(frozen=True)
class Way:
    """How far two draws are apart, and how often they were the same.

    seeds, rows, places: of the later draw, less those of the earlier one.
    same, pairs: how many pairs were the same token, of how many.
    log_e: natural logarithm of the evidence that they share a random number.
    """

    seeds: int
    rows: int
    places: int
    same: int
    pairs: int
    log_e: float

    def __str__(self) -> str:
        """Spell it."""
        words = [f"under a seed {self.seeds:,} larger" if self.seeds else "in the same call"]
        for distance, what in ((self.rows, "row"), (self.places, "place")):
            side = "later" if distance > 0 else "earlier"
            if distance:
                words.append(f"{abs(distance)} {what}{'s' * (abs(distance) > 1)} {side}")
        share = self.same / self.pairs
        return f"{', '.join(words)}, a draw is the same in {share:.2f} of {self.pairs:,} pairs"


class DrawsProbe:
    """Calls under many seeds near each other, on the same rows.

    name: of the options that are given, for reports.
    seeds: those that are tried, rising, less the first.
    by_row: how many rows of a call have a seed of their own. 0: a call has one seed.
    within: whether draws of one call alone are compared.
    tolerance: relative error that the probability of a token may have.
    tokens, masses: what was drawn in each call, and its probability, ``(rows, places)``.
    total: seeds so far.

    Draws come one after the other, by seed, row and place. In each way every draw is compared with one
    earlier draw at most. For any share s, the product of 1 - s + s / mass over the pairs that are the same
    and of 1 - s over the others then has mean 1. The e-value is the average over all ways and some shares;
    where all tokens are equally likely, of it and of `log_few_tokens`.
    """

    def __init__(
        self,
        caller: Caller,
        draws: Draws,
        seeds: Integers,
        *,
        name: str = "",
        by_row: int = 0,
        within: bool = False,
        tolerance: float,
    ) -> None:
        self._caller, self._draws = caller, draws
        self._first = caller.next_seed() % (SEED_RANGE - int(seeds[-1]))
        self._tolerance = tolerance
        self.name, self.seeds, self.by_row, self.within = name, seeds, by_row, within
        self.tokens: list[Integers] = []
        self.masses: list[Floats] = []
        self.total = 0
        self._kept: tuple[int, list[Way]] = (0, [])

    def sample(self, count: int) -> None:
        """Call under about `count` more seeds."""
        wanted = min(self.total + count, len(self.seeds))
        while self.total < wanted and not self._caller.out_of_time():
            seeds = self._first + self.seeds[self.total : self.total + max(1, self.by_row)]
            tokens, masses = self._draws(seeds)
            if not self.total:
                self._same_again(seeds, tokens, masses)
            self.tokens.append(tokens)
            self.masses.append(masses)
            self.total += len(seeds)

    def _same_again(self, seeds: Integers, tokens: Integers, masses: Floats) -> None:
        """Make the first call again; rows of their own seeds also with one of 0, which is a seed like any.

        ContractError: it gave something else.
        """
        if self.by_row:
            seeds = np.append(0, seeds[1:])
            tokens, masses = self._draws(seeds)
        again, _ = self._draws(seeds)
        if (again != tokens)[masses > 0].any():
            raise ContractError(
                f"gave two outputs for the same inputs and {'seeds' if self.by_row else 'seed'}"
                f" {', '.join(map(str, seeds.tolist()))}{f', with {self.name}' if self.name else ''}"
            )

    def log_e(self) -> float:
        """Return the logarithm of the e-value so far."""
        values = [way.log_e for way in self.ways()]
        same = float(np.logaddexp.reduce(values)) - math.log(self._all_ways()) if values else -math.inf
        return float(np.logaddexp(same, self.log_few_tokens())) - math.log(2)

    def log_few_tokens(self) -> float:
        """Return the logarithm of the evidence that only some of equally likely tokens are ever drawn."""
        masses = np.concatenate(self.masses, axis=None)
        masses = masses[masses > 0]
        if self.within or not len(masses) or masses.min() < masses.max():
            return -math.inf
        return _log_few(self.drawn_tokens(), round(1 / float(masses[0])))

    def law_is_wrong(self) -> bool:
        """Return whether no way stands out: draws are the same too often in any calls and rows."""
        tokens, masses = np.concatenate(self.tokens), np.concatenate(self.masses)
        drawn = masses > 0
        counts = np.zeros((tokens.shape[1], int(tokens.max()) + 1))
        np.add.at(counts, (np.nonzero(drawn)[1], tokens[drawn]), 1)
        size = counts.sum(axis=1)
        always = (size >= SEVERAL) & (counts.max(axis=1) > ALWAYS * size)
        if len(np.unique(counts[always].argmax(axis=1))) > 1:
            # Several places have one token always, each its own: their random numbers never change.
            return False
        for way in self.ways():
            shift = abs(way.places)
            earlier, later = counts[: len(counts) - shift], counts[shift:]
            everywhere = (earlier * later).sum() / (earlier.sum(axis=1) * later.sum(axis=1)).sum()
            shares = np.array(SHARES)
            gain = way.same * np.log((1 - shares) + shares / everywhere)
            gain += (way.pairs - way.same) * np.log1p(-shares)
            if gain.max() - math.log(self._all_ways()) > math.log(FITS):
                return False
        return True

    def drawn_tokens(self) -> Integers:
        """Return how often each token that was drawn was so."""
        tokens, masses = np.concatenate(self.tokens, axis=None), np.concatenate(self.masses, axis=None)
        return np.unique(tokens[masses > 0], return_counts=True)[1]

    def _all_ways(self) -> int:
        """Return how many ways there are, seen or not."""
        rows, places = self.tokens[0].shape
        differences = 1 if self.within else len(np.unique(np.abs(np.subtract.outer(self.seeds, self.seeds))))
        if not self.by_row:
            return differences * (2 * rows - 1) * (2 * places - 1)
        return (differences + rows) * (2 * places - 1)

    def ways(self) -> list[Way]:
        """Return the ways with several pairs that are the same, the most telling first."""
        if self._kept[0] != self.total:
            seeds, found = self.seeds[: self.total], []
            if self.by_row:
                tokens, masses = np.concatenate(self.tokens), np.concatenate(self.masses)
                found = self._ways(seeds, tokens[:, None], masses[:, None])
                # The rows of each call, whatever their seeds are. A last call may have fewer.
                size = len(tokens) // self.by_row * self.by_row
                tokens = tokens[:size].reshape(-1, self.by_row, tokens.shape[1])
                masses = masses[:size].reshape(tokens.shape)
                calls = SEED_RANGE * np.arange(len(tokens))
                found += [way for way in self._ways(calls, tokens, masses) if way.seeds == 0]
            else:
                found = self._ways(seeds, np.stack(self.tokens), np.stack(self.masses))
            self._kept = self.total, sorted(found, key=lambda way: -way.log_e)
        return self._kept[1]

    def _ways(self, seeds: Integers, tokens: Integers, masses: Floats) -> list[Way]:
        drawn, found = masses > 0, []
        for apart, same, gains in _same_pairs(tokens, masses, seeds, self._tolerance, self.within):
            pairs = _pairs(drawn, seeds, apart)
            logs = gains + (pairs - same) * np.log1p(-np.array(SHARES))
            log_e = float(np.logaddexp.reduce(logs)) - math.log(len(SHARES))
            found.append(Way(*apart, same=same, pairs=pairs, log_e=log_e))
        return found


def _log_few(counts: Integers, size: int) -> float:
    """Return the logarithm of the likelihood of counts of tokens under sparse laws over that of equal ones.

    counts: of the tokens that were drawn; the law is over `size` tokens.
    """
    from scipy.special import gammaln

    total, values = int(counts.sum()), []
    for each in SPARSE:
        seen = (gammaln(counts + each) - gammaln(each)).sum()
        values.append(gammaln(each * size) - gammaln(each * size + total) + seen + total * math.log(size))
    return float(np.logaddexp.reduce(values)) - math.log(len(values))


def _same_pairs(
    tokens: Integers, masses: Floats, seeds: Integers, tolerance: float, within: bool
) -> list[tuple[tuple[int, int, int], int, Floats]]:
    """Return the most telling ways: seeds, rows and places between two draws that are often the same token.

    tokens, masses: shape ``(calls, rows, places)``.
    seeds: rising, ``(calls,)``.
    within: whether draws of one call alone are compared.
    Returns: of each way, how many pairs are the same, and the logarithm of what these say, by share.
    """
    _, rows, places = tokens.shape
    drawn = masses > 0
    token, mass = tokens[drawn], masses[drawn]
    call, row, place = np.nonzero(drawn)
    # One number for each place; differences of such numbers are those of seed, row and place.
    number = (seeds[call] * (2 * rows) + row) * (2 * places) + place
    order = np.lexsort((number, token))
    token, number, mass, call = token[order], number[order], mass[order], call[order]
    apart, later = [], []
    for distance in range(1, len(token)):
        equal = token[distance:] == token[:-distance]
        if within:
            equal &= call[distance:] == call[:-distance]
        if not equal.any():
            break
        apart.append((number[distance:] - number[:-distance])[equal])
        later.append(mass[distance:][equal])
    if not apart:
        return []
    kinds, which, counts = np.unique(np.concatenate(apart), return_inverse=True, return_counts=True)
    one = 1 / np.concatenate(later)
    gains: Floats = np.stack(
        [np.bincount(which, weights=np.log((1 - share + share * one) / (1 + tolerance))) for share in SHARES]
    )
    shift, step = np.divmod(kinds + places, 2 * places)
    seed, skipped = np.divmod(shift + rows, 2 * rows)
    way = np.stack([seed, skipped - rows, step - places])
    # To count the pairs of every way takes long: those are left out of which many pairs must be different.
    differences, often = np.unique(np.subtract.outer(seeds, seeds), return_counts=True)
    pairs = often[np.searchsorted(differences, seed)] * (rows - np.abs(way[1])) * (places - np.abs(way[2]))
    pairs = pairs * drawn.mean() ** 2
    for n in np.flatnonzero((way[:2] == 0).all(axis=0)):
        # Places of one row are not drawn independently.
        pairs[n] = _pairs(drawn, seeds, (0, 0, int(way[2, n])))
    guess = gains[0] + np.log1p(-SHARES[0]) * np.maximum(pairs - counts, 0)
    telling = np.argsort(-guess)[:MOST]
    return [
        ((int(way[0, n]), int(way[1, n]), int(way[2, n])), int(counts[n]), gains[:, n])
        for n in telling
        if counts[n] >= LEAST
    ]


def _pairs(drawn: Bools, seeds: Integers, apart: tuple[int, int, int]) -> int:
    """Return how many pairs of draws are so far apart, by seeds, rows and places."""
    at = np.minimum(np.searchsorted(seeds, seeds + apart[0]), len(seeds) - 1)
    there = seeds[at] == seeds + apart[0]
    earlier, later = drawn[there], drawn[at[there]]
    for axis, distance in ((1, apart[1]), (2, apart[2])):
        size = drawn.shape[axis]
        first = np.arange(max(0, -distance), size - max(0, distance))
        earlier = np.take(earlier, first, axis=axis)
        later = np.take(later, first + distance, axis=axis)
    return int((earlier & later).sum())
