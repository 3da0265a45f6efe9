"""What experiments under several options at once share: values of options, and how tokens are counted.

Options are drawn anew for every call, on ranked rows. Which law a token has then differs from call to call,
row to row and place to place. So its place is counted: the tokens of its row are ordered, each takes an
interval as long as its probability, and a point drawn in the emitted token's interval is uniform on [0, 1),
whatever the options are and whatever was written before.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

import numpy as np

from specsim.support.arrays import Bools, Floats, Integers
from specsim.validation.conformance.calling import Caller, ContractError
from specsim.validation.conformance.checks.base import FITS, Look
from specsim.validation.conformance.evidence import Evidence
from specsim.validation.conformance.filters import FILTERS, untypical
from specsim.validation.conformance.instances import Instance
from specsim.validation.conformance.ranked import Ranked

#: Values of the filters, from one to the other; of top-k, each of these. Calls on whose rows another reading
#: of a filter would keep other tokens are not made.
VALUES: dict[str, tuple[float, float]] = {
    "temperature": (0.12, 3.0),
    "top_k": (1, 3),
    "top_p": (0.2, 0.97),
    "min_p": (0.02, 0.7),
    "typical_p": (0.2, 0.95),
}
#: Temperatures between these change a row little, and are not tried.
MILD = (0.4, 1.8)
#: The smallest top-k where many tokens may be kept.
LEAST_KEPT = 4
#: Of rows that have one of their own.
TEMPERATURES = (0.0, 0.2, 0.7, 1.0, 1.5, 2.0)
#: Cells of equal probability.
BINS = 8
#: Least distance from what another reading would keep, and in a type of 16 bits.
CLEAR, NARROW = 1e-4, 1e-3
#: Share of the calls that have an option which is not the one that they are made for.
SHARE = 0.25
#: Sizes that are large: drafted tokens from here on, and rows; and the largest.
LONG, MANY = 9, 65
MOST_DRAFTS, MOST_ROWS = 16, 300
#: Rows of the smallest calls.
SINGLE = (1, 1, 1, 1, 2, 3)
#: Options that shut each other out.
APART = (
    frozenset({"temperature", "temperatures"}),
    frozenset({"no draft rows", "d2t"}),
    frozenset({"noise", "words"}),
)


def pairs_of(parts: Sequence[str], sizes: Set[str]) -> list[tuple[str, str]]:
    """Return the pairs that can be combined; a size is in none with another size."""
    return [
        pair
        for pair in itertools.combinations(parts, 2)
        if not set(pair) <= sizes and frozenset(pair) not in APART
    ]


class Combinations:
    """Calls with two parts each, and others by chance; a part is an option, processing, or an unusual size.

    sizes: names of the unusual sizes, in words; orders: how the tokens of a row are ordered; halves: what is
        counted separately.
    pairs: of parts; each call is made for the pair that has fewest rows.
    counts: shape ``(orders, 2 * pairs, BINS + 1)``: by order, by pair and half; in the last cell the tokens
        of no probability.
    total: rows so far.
    """

    sizes: Mapping[str, str]
    orders: Sequence[str]
    halves: tuple[str, str]
    #: Another order, where texts end: a token that is missing everywhere has no place in the others.
    end_first = "the end of text first"

    def __init__(
        self, caller: Caller, rng: np.random.Generator, *, seed: int, pairs: Sequence[tuple[str, str]]
    ) -> None:
        self.caller, self._rng, self._seed = caller, rng, seed
        self.pairs = list(pairs)
        self._parts = sorted({part for pair in self.pairs for part in pair})
        self._filled = np.zeros(len(self.pairs), dtype=np.int64)
        if "eos" in self._parts:
            self.orders = (*self.orders, self.end_first)
        self.counts = np.zeros((len(self.orders), 2 * len(self.pairs), BINS + 1), dtype=np.int64)
        self.total = 0

    def sample(self, count: int) -> None:
        """Observe about `count` more rows."""
        wanted = self.total + count
        while self.total < wanted and not self.caller.out_of_time():
            turn = int(self._filled.argmin())
            chosen = self._chosen(self.pairs[turn])
            # Rows and options are made for many small calls at once, which is faster.
            self.caller.most_rows = int(self._rng.choice(SINGLE)) if "single" in chosen else None
            try:
                rows = self._round(chosen)
            except ContractError as error:
                cause, mark, change = str(error).partition("; ")
                given = ", ".join(self.sizes.get(part, part) for part in sorted(chosen))
                raise ContractError(f"with {given}: {cause}{mark}{change}") from error
            # A pair for which there are no rows has had its turn, too.
            held = [number == turn or set(pair) <= chosen for number, pair in enumerate(self.pairs)]
            self._filled += np.where(held, rows, 0)
            self.total += rows

    def looks(self, tolerance: float) -> list[Look]:
        """Return what is looked at: places of tokens by pair, for each order."""
        words = [
            f"{' and '.join(self.sizes.get(part, part) for part in pair)}: {half}"
            for pair in self.pairs
            for half in self.halves
        ]
        return [_look(self.counts[order], words, name, tolerance) for order, name in enumerate(self.orders)]

    def where(self) -> str:
        """Return which options all pairs have whose tokens are wrong, in words; empty if they share none."""
        null = np.append(np.full(BINS, 1 / BINS), 0.0)[None]
        wrong = [
            set(self.pairs[stratum // 2])
            for counts in self.counts
            for stratum, row in enumerate(counts)
            if Evidence(null).log_e(row[None]) > math.log(FITS)
        ]
        common = set.intersection(*wrong) if wrong else set()
        return " and ".join(sorted(self.sizes.get(part, part) for part in common))

    def _chosen(self, pair: tuple[str, str]) -> set[str]:
        """Return what a call has: a pair, processing if there is any, and some more options."""
        chosen = set(pair) | ({"process"} & set(self._parts))
        for part in self._rng.permutation(self._parts):
            apart = any(part in words and words & chosen for words in APART)
            if part not in self.sizes and not apart and self._rng.random() < SHARE:
                chosen.add(str(part))
        return chosen

    def _round(self, chosen: set[str]) -> int:
        """Make one call and count its tokens; return its rows. What there is not is taken off `chosen`."""
        raise NotImplementedError

    def _size(self, chosen: Set[str], few: tuple[int, int]) -> tuple[int, int]:
        """Return drafted tokens and rows of a call; `few` is the range of rows where they are few."""
        rng, subject = self._rng, self.caller.subject
        most = min(subject.max_draft_length or MOST_DRAFTS, MOST_DRAFTS)
        # Short drafts where rows are few: a bonus token is then seen in most of them.
        short = 2 if "single" in chosen else 4
        drafts = rng.integers(LONG, most + 1) if "long" in chosen else rng.integers(1, min(short, most) + 1)
        # A round that drafts itself is one call.
        limit = 1 if "single" in chosen and subject.protocol == "draft-and-verify" else MOST_ROWS
        limit = min(subject.max_batch or limit, limit)
        rows = rng.integers(MANY, limit + 1) if "many" in chosen else rng.integers(*few)
        return int(drafts), min(int(rows), limit)

    def _temperatures(self, rows: int) -> Floats:
        """Return a temperature for each row; none is 0 where processing may leave two likeliest tokens."""
        least = 0 if self.caller.subject.process is None else 1
        return self._rng.choice(TEMPERATURES[least:], size=rows)

    def _add(
        self,
        chosen: Set[str],
        law: Floats,
        token: Integers,
        keys: Iterable[Floats],
        second: Bools,
        eos: int | None,
    ) -> None:
        """Count tokens.

        law: of each token, ``(tokens, V)``.
        keys: by which the tokens of a row are ordered, of the same shape, for each order but the last where
            texts end.
        second: whether a token belongs to the second half.
        eos: the token that ends a text; None where there is none.
        """
        mass = law[np.arange(len(law)), token]
        # Where one token alone is possible there is nothing to learn but that it is the one.
        counted = (law.max(axis=1) < 1 - 1e-12) | (mass <= 0)
        levels = np.array([n for n, pair in enumerate(self.pairs) if set(pair) <= chosen], dtype=np.int64)
        ends = [] if eos is None else [np.broadcast_to(np.arange(law.shape[1]) != eos, law.shape)]
        for order, key in enumerate([*keys, *ends]):
            # Where the key is the same, the likelier ones first.
            cells = cells_of(law, token, np.nan_to_num(key, nan=-1.0) - 1e-6 * law, self._rng)
            for half in (0, 1):
                found = np.bincount(cells[counted & (second == half)], minlength=BINS + 1)
                self.counts[order, 2 * levels + half] += found

    def _filters(self, chosen: set[str], rows: Floats, *, most_kept: int | None = None) -> dict[str, Any]:
        """Return values of the chosen filters at which every reading of them keeps the same tokens.

        rows: all that may be filtered.
        most_kept: the largest top-k. None: that of `VALUES`.
        Filters for which there are none are taken off what is chosen.
        """
        temperatures = TEMPERATURES[1:] if "temperatures" in chosen else (1.0,)
        names = [name for name in FILTERS if name in chosen]
        margin = NARROW if self.caller.subject.dtypes[0] in ("float16", "bfloat16") else CLEAR
        for _ in range(50):
            filters = {name: _value(name, self._rng) for name in names}
            if "top_k" in filters and most_kept:
                filters["top_k"] = int(np.exp(self._rng.uniform(np.log(LEAST_KEPT), np.log(most_kept + 1))))
            if all(clear(rows, {"temperature": value, **filters}, margin) for value in temperatures):
                return filters
        chosen -= set(names)
        return {}


def narrowed(ranked: Ranked, rng: np.random.Generator) -> tuple[Instance, Integers]:
    """Return rows whose draft lacks some tokens in all contexts, and the ids that it has.

    Equal rows stay equal, so that long drafts are accepted.
    """
    instance = ranked.instance
    ids = np.flatnonzero(rng.permutation(instance.vocabulary) >= max(1, instance.vocabulary // 4))
    draft = np.zeros_like(instance.draft)
    draft[:, ids] = instance.draft[:, ids]
    draft /= draft.sum(axis=1, keepdims=True)
    equal = (instance.target == instance.draft).all(axis=1, keepdims=True)
    target = np.where(equal, draft, instance.target)
    return replace(instance, target=target, draft=draft), ids


def _value(name: str, rng: np.random.Generator) -> float:
    low, high = VALUES[name]
    if name == "temperature":
        low, high = (low, MILD[0]) if rng.random() < 0.5 else (MILD[1], high)
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return int(rng.integers(int(low), int(high) + 1)) if name == "top_k" else float(rng.uniform(low, high))


def clear(rows: Floats, filters: Mapping[str, Any], margin: float = CLEAR) -> bool:
    """Return whether no row is so near the edge of what a filter keeps, each after those before it."""
    for name, change in FILTERS.items():
        if name not in filters:
            continue
        value = filters[name]
        # What a filter keeps in order: by falling probability, or by rising distance from typical surprise.
        scores = np.nan_to_num(untypical(rows), nan=np.inf) if name == "typical_p" else -rows
        order = np.argsort(scores, axis=1, kind="stable")
        ranked = np.take_along_axis(rows, order, axis=1)
        if name == "min_p" and (np.abs(rows / rows.max(axis=1, keepdims=True) - value) < margin).any():
            return False
        if name in ("top_p", "typical_p") and (np.abs(np.cumsum(ranked, axis=1) - value) < margin).any():
            return False
        kept = change(rows, value)
        if name in ("top_k", "top_p", "typical_p"):
            last = (np.take_along_axis(kept, order, axis=1) > 0).sum(axis=1)
            cut = np.flatnonzero(last < rows.shape[1])
            scores = np.take_along_axis(scores, order, axis=1)
            after, before = scores[cut, last[cut]], scores[cut, last[cut] - 1]
            dropped = ranked[cut, last[cut]] > 0
            if name != "typical_p":
                after, before = after / -before, -1.0
            if (dropped & ~(after - before > margin)).any():
                return False
            # More than k are kept where they tie.
            if name == "top_k" and (last > value).any():
                return False
        rows = kept
    return True


def cells_of(law: Floats, token: Integers, key: Floats, rng: np.random.Generator) -> Integers:
    """Return in which of `BINS` equal cells of its row a point of each token's interval lies.

    law, key: of each token's row, and what its tokens are ordered by, ``(tokens, V)``.
    Returns: ``(tokens,)``; `BINS` for a token of no probability.
    """
    order = np.argsort(key, axis=1, kind="stable")
    masses = np.take_along_axis(law, order, axis=1)
    rank = (order == token[:, None]).argmax(axis=1)
    at = np.arange(len(law))
    begin = (np.cumsum(masses, axis=1) - masses)[at, rank]
    place = begin + rng.random(len(law)) * masses[at, rank]
    cell = np.minimum((place * BINS).astype(np.int64), BINS - 1)
    return np.where(law[at, token] > 0, cell, BINS)


def _look(counts: Integers, words: list[str], order: str, tolerance: float) -> Look:
    """Return the look at places, shape ``(strata, BINS + 1)``, where one stratum may be wrong.

    words: names of the strata.
    order: of the tokens, in words.
    """
    null = np.zeros((len(words), BINS + 1))
    null[:, :BINS] = 1 / BINS
    slope = np.zeros(BINS + 1)
    slope[:BINS] = np.linspace(-1, 1, BINS)
    alternatives = {}
    for stratum, what in enumerate(words):
        for sign, side in ((-1, "less"), (1, "more")):
            for weight in (0.04, 0.15, 0.5, 0.9):
                table = null.copy()
                table[stratum] *= 1 + weight * sign * slope
                alternatives[f"{what}, the last ones {side} often ({weight:g})"] = table
    return Look(
        # A token is counted for every pair that its call has.
        evidence=Evidence(null, alternatives=alternatives, disjoint=False, tolerance=tolerance),
        observe=lambda: counts,
        shares=np.full(len(words), 1 / len(words)),
        reachable=np.ones(len(words), dtype=bool),
        name_cell=lambda stratum, cell: (
            f"{words[stratum]} that has no probability"
            if cell == BINS
            else f"{words[stratum]} in eighth {cell + 1} of its row, {order}"
        ),
    )
