"""Rows that depend on every token before them, and whose tokens have one law by rank, whatever the context.

The rows of all contexts are the same few laws with the tokens in another order. A token's rank in the row of
its true context therefore has a known law at every position of any text, drafted or not, so that outcomes of
all sizes can be added up without enumerating texts. A sampler that reads another row draws other ranks.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from specsim.support.arrays import Floats, Integers
from specsim.support.streams import Stream
from specsim.validation.conformance.checks.base import Look
from specsim.validation.conformance.evidence import Evidence
from specsim.validation.conformance.instances import Instance

#: Tokens distinguished by rank; the last of them stands for all tokens of its rank and below.
RANKS = 4

#: Kinds of rows. Under the ratio rule drafts are always accepted in the first; in the others a rejected token
#: has at least two replacements, and in the last the target forbids what is drafted a third of the time.
KINDS = ("equal", "unlike", "forbidden")

#: Masses of the ranks under target and draft, in units of 1/256.
Laws = tuple[tuple[int, ...], tuple[int, ...]]
#: The same by the number of ranks, and by kind.
_MASSES: dict[int, tuple[Laws, ...]] = {
    2: (((224, 32), (224, 32)), ((176, 80), (80, 176)), ((256, 0), (160, 96))),
    3: (
        ((220, 24, 12), (220, 24, 12)),
        ((144, 80, 32), (48, 64, 144)),
        ((144, 112, 0), (96, 72, 88)),
    ),
    4: (
        ((220, 16, 12, 8), (220, 16, 12, 8)),
        ((128, 72, 40, 16), (32, 96, 24, 104)),
        ((120, 88, 48, 0), (40, 64, 72, 80)),
    ),
}

#: Masses of the ranks on wide vocabularies, whose last rank is nearly all tokens: it has half of what is
#: emitted, and most of every residual.
WIDE_LAWS: Laws = ((40, 32, 56, 128), (96, 72, 40, 48))


def laws_by_rank(ranks: int) -> tuple[Floats, Floats]:
    """Return the laws of the ranks under target and draft, each of shape ``(kinds, ranks)``."""
    masses = np.array(_MASSES[ranks], dtype=np.float64) / 256
    return masses[:, 0], masses[:, 1]


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranked:
    """An instance of such rows.

    instance: the rows.
    kinds: kind of every context, an index into `KINDS`, shape ``(contexts,)``.
    ranks: rank of every token in every context, shape ``(contexts, tokens)``.
    """

    instance: Instance
    kinds: Integers
    ranks: Integers


@lru_cache(maxsize=128)
def ranked_instance(
    seed: int,
    *,
    vocabulary: int,
    draft_length: int,
    equal: float = 0.0,
    forbidden: float = 0.5,
    contexts: int = 61,
    laws: Laws | None = None,
    several: tuple[Laws, ...] | None = None,
    slope: float = 1.0,
) -> Ranked:
    """Return rows of all kinds, or of one law, in a context that never forgets a token.

    vocabulary: at least 2.
    equal: share of contexts whose rows are equal.
    forbidden: share of the others that forbid drafted tokens.
    contexts: a prime. After a token the context is an affine function of the one before it, another one for
        every token: two texts that differ anywhere stay in different contexts while they go on alike.
    laws: one pair of laws of the ranks, in units of 1/256. Defaults to None: those of all kinds.
    several: as many pairs as there are kinds of rows, in place of the usual ones; equally many contexts, up
        to one, have each.
    slope: of the tokens that share the mass of the last rank, each has this much of what the one before has.
        Defaults to 1: all the same.
    """
    stream = Stream(seed, f"conformance ranked {vocabulary} {contexts} {equal:g} {forbidden:g}")
    ranks = min(RANKS, vocabulary)
    if laws is not None:
        several = (laws,)
    if several is None:
        target, draft = laws_by_rank(ranks)
    else:
        target, draft = np.moveaxis(np.array(several, dtype=np.float64) / 256, 1, 0)
    order = stream.orders(contexts, vocabulary)
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(vocabulary)[None, :], axis=1)
    rank_of = np.minimum(places, ranks - 1)
    coins = stream.uniforms(2, contexts)
    kinds = np.where(coins[0] < equal, 0, np.where(coins[1] < forbidden, 2, 1))
    if several is not None:
        kinds = coins[0].argsort().argsort() % len(several)
    # Tokens after the ranks share the mass of the last one.
    share = slope ** np.maximum(np.arange(vocabulary) - ranks + 1, 0)
    share[ranks - 1 :] /= share[ranks - 1 :].sum()
    rows = [np.take_along_axis(law[kinds], rank_of, axis=1) * share[places] for law in (target, draft)]
    factor = 1 + stream.below(contexts - 1, vocabulary)
    offset = stream.below(contexts, vocabulary)
    return Ranked(
        instance=Instance(
            name=f"ranked rows of {vocabulary} tokens",
            target=rows[0],
            draft=rows[1],
            next_context=(np.arange(contexts)[:, None] * factor + offset) % contexts,
            start=0,
            draft_length=draft_length,
        ),
        kinds=kinds,
        ranks=rank_of,
    )


#: Share of the right law that is left in an alternative which would make some ranks impossible.
LEFT = 0.1


def bent_laws(target: Floats, draft: Floats) -> dict[str, Floats]:
    """Return laws of the ranks, ``(kinds, ranks)``, that a wrong sampler may have."""
    another = np.full(target.shape, 1 / target.shape[1])
    both = np.minimum(target, draft)
    replaced = both + (1 - both.sum(axis=1, keepdims=True)) * target
    greedy = np.eye(target.shape[1])[np.zeros(len(target), dtype=np.int64)]
    found = {"rejected drafts replaced from the target": replaced}
    for words, law in (("the draft's law", draft), ("the row of another context", another)):
        for weight in (0.2, 1 - LEFT):
            found[f"{weight:g} of the way to {words}"] = (1 - weight) * target + weight * law
    found["the likeliest token"] = LEFT * target + (1 - LEFT) * greedy
    found["tests that read another draft row"] = _tested_by_another(target, draft)
    return found


def _tested_by_another(target: Floats, draft: Floats) -> Floats:
    """Return the laws under the ratio rule when it reads the draft row of any other context."""
    ranks = target.shape[1]
    orders = np.array(list(itertools.permutations(range(ranks))))
    others = draft[:, orders].reshape(-1, ranks)[None]
    rows, drawn = target[:, None], draft[:, None]
    # A token that the other row does not have is accepted where the target has it.
    with np.errstate(divide="ignore", invalid="ignore"):
        accepted = np.where(rows > 0, np.minimum(1.0, rows / others), 0.0) * drawn
    residual = np.maximum(rows - others, 0.0)
    total = residual.sum(axis=2, keepdims=True)
    residual = np.where(total > 0, residual / np.where(total > 0, total, 1.0), rows)
    laws: Floats = (accepted + (1 - accepted.sum(axis=2, keepdims=True)) * residual).mean(axis=1)
    return laws


class RankCounts:
    """Counts of the ranks of emitted tokens, split in several ways.

    levels: names of the levels of every way to split, in their order.
    kinds: names of the kinds of rows; one that is empty where all rows have one law.
    counts: shape ``(levels * kinds, ranks)`` by way.
    """

    def __init__(self, levels: Mapping[str, Sequence[str]], ranks: int, kinds: Sequence[str] = KINDS) -> None:
        self.levels = {name: tuple(words) for name, words in levels.items()}
        self.ranks, self.kinds = ranks, tuple(kinds)
        self.counts = {
            name: np.zeros((len(words) * len(kinds), ranks), dtype=np.int64)
            for name, words in self.levels.items()
        }

    def add(self, kinds: Integers, ranks: Integers, **levels: Integers | int) -> None:
        """Count tokens, all arrays of one shape; every way to split has its level."""
        for name, level in levels.items():
            table = self.counts[name]
            cells = (np.asarray(level) * len(self.kinds) + kinds) * self.ranks + ranks
            table += np.bincount(cells.ravel(), minlength=table.size).reshape(table.shape)

    def looks(
        self,
        laws: tuple[Floats, Floats],
        tolerance: float,
        prefix: str = "",
        more: Mapping[str, Floats] | None = None,
    ) -> list[Look]:
        """Return a look for every way to split: alternatives are wrong at a level, or from it on.

        laws: of the ranks under target and draft, ``(kinds, ranks)``.
        prefix: put before the names of cells.
        more: further laws that a wrong sampler may have, of the same shape.
        """
        bent = bent_laws(*laws) | dict(more or {})
        return [
            self.look(
                name,
                np.tile(laws[0], (len(words), 1)),
                self._wrong_levels(name, laws[0], bent),
                tolerance,
                prefix,
            )
            for name, words in self.levels.items()
        ]

    def _wrong_levels(self, name: str, target: Floats, bent: Mapping[str, Floats]) -> dict[str, Floats]:
        """Return laws that are wrong at one level, or from it on."""
        words, kinds = self.levels[name], len(self.kinds)
        null = np.tile(target, (len(words), 1))
        alternatives = {}
        for what, law in bent.items():
            for begin, first in enumerate(words):
                table = null.copy()
                table[begin * kinds :] = np.tile(law, (len(words) - begin, 1))
                alternatives[f"{what}, {first} on" if begin else what] = table
                table = null.copy()
                table[begin * kinds : (begin + 1) * kinds] = law
                alternatives[f"{what}, {first} only"] = table
        return alternatives

    def look(
        self,
        name: str,
        null: Floats,
        alternatives: Mapping[str, Floats],
        tolerance: float,
        prefix: str = "",
    ) -> Look:
        """Return the look for one way to split.

        null, alternatives: laws of the ranks under the target, ``(levels * kinds, ranks)``.
        """
        words, kinds = self.levels[name], len(self.kinds)

        # Where all kinds have one law, rows are of none of them.
        one = bool((null == null[0]).all())

        def name_cell(stratum: int, cell: int) -> str:
            kind = "" if one else self.kinds[stratum % kinds]
            rows = f", rows {kind}" if kind else ""
            return f"{prefix}{words[stratum // kinds]}{rows}: token of rank {cell + 1}"

        return Look(
            evidence=Evidence(null, alternatives=alternatives, tolerance=tolerance),
            observe=lambda: self.counts[name],
            # Every row emits one token at least; which strata they fall into depends on the sampler.
            shares=np.full(len(null), 1 / len(null)),
            reachable=np.ones(len(null), dtype=bool),
            name_cell=name_cell,
            levels=words,
            tokens={"drafts": "tokens at drafted places", "bonus": "bonus tokens"}.get(name, ""),
        )


#: Parts of the unit interval in which the place of a token is counted.
PARTS = 4
#: Shares by which a token that repeats the prompt may be too likely.
MORE = (0.1, 0.4, 0.9)


def parts_of_rows(rows: Floats, tokens: Integers, coins: Floats) -> Integers:
    """Return the part of the row in which a random point of every token's interval lies.

    rows: ``(B, n, V)``; tokens, coins: ``(B, n)``.
    """
    ends = np.cumsum(rows, axis=2)
    mass = np.take_along_axis(rows, tokens[..., None], axis=2)[..., 0]
    end = np.take_along_axis(ends, tokens[..., None], axis=2)[..., 0]
    return np.clip(((end - coins * mass) / ends[..., -1] * PARTS).astype(np.int64), 0, PARTS - 1)


#: By how much the first quarter of a row may be likelier than it should be, and the last less so.
TILTS = (0.15, 0.5)


class Parts:
    """Quarters of their rows in which replacements of drafts fall, split in several ways.

    A coin that tests a draft and then draws its replacement leaves the law of the ranks nearly as it is, as
    the order of the ids is any; but the replacement comes from one end of the row. Rows are cut to the tokens
    that are likelier under the target than under the draft, as no other replaces a rejected one.

    levels: names of the levels of every way to split, in their order.
    counts: shape ``(levels, PARTS)`` by way.
    """

    def __init__(self, levels: Mapping[str, Sequence[str]]) -> None:
        self.levels = {name: tuple(words) for name, words in levels.items()}
        self.counts = {
            name: np.zeros((len(words), PARTS), dtype=np.int64) for name, words in self.levels.items()
        }

    def add(self, target: Floats, draft: Floats, tokens: Integers, coins: Floats, **levels: int) -> None:
        """Count tokens; every way to split has its level.

        target, draft: rows ``(B, n, V)``.
        tokens, coins: ``(B, n)``, as in `parts_of_rows`.
        """
        rows = np.where(target > draft, target, 0.0)
        chosen = np.take_along_axis(rows, tokens[..., None], axis=2)[..., 0] > 0
        parts = parts_of_rows(rows[chosen][:, None], tokens[chosen][:, None], coins[chosen][:, None])
        seen = np.bincount(parts.ravel(), minlength=PARTS)
        for name, level in levels.items():
            self.counts[name][level] += seen

    def looks(self, tolerance: float) -> list[Look]:
        """Return a look for every way to split: places are wrong at a level, or from it on."""
        return [self._look(name, tolerance) for name in self.levels]

    def _look(self, name: str, tolerance: float) -> Look:
        words = self.levels[name]
        null = np.full((len(words), PARTS), 1 / PARTS)
        alternatives = {}
        for begin, first in enumerate(words):
            for tilt in (*TILTS, *(-tilt for tilt in TILTS)):
                law = (1 + tilt * np.linspace(1, -1, PARTS)) / PARTS
                for where, stop in (("only", begin + 1), ("on", len(words))):
                    table = null.copy()
                    table[begin:stop] = law
                    alternatives[f"{'first' if tilt > 0 else 'last'} quarters, {tilt:g}, {first} {where}"] = (
                        table
                    )
        return Look(
            evidence=Evidence(null, alternatives=alternatives, tolerance=tolerance),
            observe=lambda: self.counts[name],
            shares=np.full(len(null), 1 / len(null)),
            reachable=np.ones(len(null), dtype=bool),
            name_cell=lambda stratum, cell: (
                f"{words[stratum]}, a likelier token than under the draft: in quarter {cell + 1} of these"
            ),
            levels=words,
        )


class Echoes:
    """Ranks of tokens and of tokens some distance before them in the same text.

    In a row every token has an interval as long as its probability, in the order of ids, and a random point
    of the emitted token's interval is uniform whatever was written before. Coins that are used again in a
    later place of a text leave every token's law right and make its place depend on the earlier one.

    How far apart the two are may vary with the accepted lengths between them. So a token is also compared
    with a band of distances: the quarters of the row are ordered by how many tokens of the band were in each,
    and the token falls into each place of this order equally often.

    distances: in tokens.
    bands: the least and the most of several distances.
    counts: shape ``(distances * PARTS + bands, PARTS)``: the part of the earlier token, and that of the
        later; then for every band the place of the token's part in the order.
    """

    def __init__(self, distances: Sequence[int], bands: Sequence[tuple[int, int]] = ()) -> None:
        self.distances, self.bands = tuple(distances), tuple(bands)
        self.counts = np.zeros((len(self.distances) * PARTS + len(self.bands), PARTS), dtype=np.int64)

    def add(self, rows: Floats, tokens: Integers, coins: Floats) -> None:
        """Count texts: rows ``(B, n, V)``, tokens and coins ``(B, n)``."""
        parts = parts_of_rows(rows, tokens, coins)
        for number, distance in enumerate(self.distances):
            if distance < tokens.shape[1]:
                before, after = parts[:, :-distance], parts[:, distance:]
                np.add.at(self.counts, (number * PARTS + before, after), 1)
        self._add_bands(parts)

    def _add_bands(self, parts: Integers) -> None:
        length = parts.shape[1]
        if not any(least < length for least, _ in self.bands):
            return
        seen = np.zeros((len(parts), length + 1, PARTS), dtype=np.int64)
        np.cumsum(parts[..., None] == np.arange(PARTS), axis=1, out=seen[:, 1:])
        for number, (least, most) in enumerate(self.bands, start=len(self.distances) * PARTS):
            at = np.arange(least, length)
            if len(at):
                known = seen[:, at - least + 1] - seen[:, np.maximum(at - most, 0)]
                order = np.argsort(-known, axis=2, kind="stable")
                place = (order == parts[:, at, None]).argmax(axis=2)
                self.counts[number] += np.bincount(place.ravel(), minlength=PARTS)

    def look(self, tolerance: float) -> Look:
        """Return the look at all distances."""
        null = np.full(self.counts.shape, 1 / PARTS)
        alternatives = {}
        for number, distance in enumerate(self.distances):
            for weight in (0.1, 0.4):
                table = null.copy()
                own = slice(number * PARTS, (number + 1) * PARTS)
                table[own] = (1 - weight) * null[own] + weight * np.eye(PARTS)
                alternatives[f"{weight:g} of the coins those of {distance} tokens before"] = table
        for number, (least, most) in enumerate(self.bands, start=len(self.distances) * PARTS):
            for weight in (0.05, 0.15, 0.4):
                table = null.copy()
                table[number] *= 1 + weight * np.linspace(1, -1, PARTS)
                alternatives[f"coins of {least} to {most} tokens before again, {weight:g}"] = table

        def name_cell(stratum: int, cell: int) -> str:
            if stratum >= len(self.distances) * PARTS:
                least, most = self.bands[stratum - len(self.distances) * PARTS]
                place = ("most", "second most", "third most", "fewest")[cell]
                return f"a token in the quarter of its row that had {place} tokens {least} to {most} before"
            distance = self.distances[stratum // PARTS]
            return (
                f"tokens {distance} apart, the first in quarter {stratum % PARTS + 1} of its row:"
                f" the second in quarter {cell + 1}"
            )

        return Look(
            # A token is counted once for every distance.
            evidence=Evidence(null, alternatives=alternatives, disjoint=False, tolerance=tolerance),
            observe=lambda: self.counts,
            shares=np.full(len(null), 1 / len(null)),
            reachable=np.ones(len(null), dtype=bool),
            name_cell=name_cell,
        )


class Copies:
    """Whether texts after a prompt that repeats itself repeat it more or less often than they should.

    Drafts that are looked up in the text have no relation to the ranks of tokens: accepted too often, they
    leave the law of the ranks nearly as it is.

    counts: of other tokens and of those that repeat the prompt, by kind of row and rank of the token that
        would, shape ``(kinds * (ranks - 1), 2)``. The last rank is left out, which many tokens share.
    """

    def __init__(self, ranks: int) -> None:
        self.ranks = ranks
        self.counts = np.zeros((len(KINDS) * (ranks - 1), 2), dtype=np.int64)

    def add(
        self, kinds: Integers, ranks: Integers, tokens: Integers, prompts: Integers, periods: Integers
    ) -> None:
        """Count the texts ``(B, n)`` as far as they repeat their prompts, and the token after.

        kinds, ranks: of the rows, ``(B, n)``, and of all tokens in them, ``(B, n, V)``.
        periods: of the prompts, ``(B,)``; 0 for those that do not repeat anything.
        """
        chosen = periods > 0
        kinds, ranks, tokens = kinds[chosen], ranks[chosen], tokens[chosen]
        prompts, periods = prompts[chosen], periods[chosen, None]
        places = prompts.shape[1] - periods + np.arange(tokens.shape[1]) % periods
        again = np.take_along_axis(prompts, places, axis=1)
        other = tokens != again
        rank = np.take_along_axis(ranks, again[..., None], axis=2)[..., 0]
        counted = (np.cumsum(other, axis=1) - other == 0) & (rank < self.ranks - 1)
        stratum = kinds * (self.ranks - 1) + rank
        np.add.at(self.counts, (stratum[counted], 1 - other[counted]), 1)

    def look(self, target: Floats, tolerance: float) -> Look:
        """Return the look.

        target: the laws of the ranks, ``(kinds, ranks)``.
        """
        share = target[:, :-1].ravel()
        more = {f"{weight:g} more of what is left": share + weight * share * (1 - share) for weight in MORE}
        less = {f"{weight:g} less of it": share * (1 - weight) for weight in MORE}
        return Look(
            evidence=Evidence(
                np.stack([1 - share, share], axis=1),
                alternatives={
                    f"a token that repeats the prompt has {words}": np.stack([1 - law, law], axis=1)
                    for words, law in (more | less).items()
                },
                tolerance=tolerance,
            ),
            observe=lambda: self.counts,
            shares=np.full(len(share), 1 / len(share)),
            reachable=np.ones(len(share), dtype=bool),
            name_cell=lambda stratum, cell: (
                f"rows {KINDS[stratum // (self.ranks - 1)]}, rank {stratum % (self.ranks - 1) + 1} repeats"
                f" the prompt: {('another token', 'this token')[cell]}"
            ),
        )
