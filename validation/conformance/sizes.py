"""Experiments at many sizes: drafts, batches and vocabularies, on ranked rows.

Sizes are drawn so that every level of every size is reached: each call is for the level that has fewest
observations, and its other sizes are random. Levels are octaves, 2 to 3, 4 to 7 and so on, or single numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.calling import Caller
from specsim.validation.conformance.checks.base import Look
from specsim.validation.conformance.filters import filtered, of_draft
from specsim.validation.conformance.instances import Instance, inverse
from specsim.validation.conformance.probes import Models
from specsim.validation.conformance.ranked import (
    RANKS,
    Laws,
    RankCounts,
    Ranked,
    laws_by_rank,
    ranked_instance,
)

#: Most drafted tokens, rows of a call, and tokens of a vocabulary that are tried.
MOST_DRAFTS, MOST_ROWS, MOST_TOKENS = 16, 4095, 2047
#: Rows of a call in which another size is what counts, and in which lengths of drafts are all that counts.
FEW_ROWS, MORE_ROWS = (4, 64), (40, 200)
#: Sizes that are tried together: drafted tokens, rows of a call, tokens of the vocabulary. A path may be for
#: one row alone, or a buffer too small for long drafts of a wide vocabulary. There are few vocabularies, as
#: making rows of a wide one takes long.
SHORT, LONG, MANY, WIDE = (1, 3), (9, 12, MOST_DRAFTS), range(65, 130), (257, 512, 1025)
TOGETHER: dict[str, tuple[Sequence[int], Sequence[int], Sequence[int]]] = {
    "one row, drafts of 9 and more": (LONG, (1,), (RANKS,)),
    "one row, a wide vocabulary": (SHORT, (1,), WIDE),
    "65 rows and more, drafts of 9 and more": (LONG, MANY, (RANKS,)),
    "65 rows and more, a wide vocabulary": (SHORT, MANY, WIDE),
    "drafts of 9 and more, a wide vocabulary": (LONG, range(4, 33), WIDE),
}
#: Rows that these get, for one of another level: only some tokens stand far behind in a draft.
MORE = 3
#: Contexts in which the texts of a call begin.
STARTS = 8


def octave(size: int) -> int:
    """Return the number of the octave: 0 for 1, 1 for 2 and 3, 2 for 4 to 7, ..."""
    return int(size).bit_length() - 1


def octaves(most: int, one: str, several: str) -> list[str]:
    """Return the names of the octaves up to `most`, such as "1 row" and "2 to 3 rows"."""
    return [
        f"{low} to {high} {several}" if low < high else f"{low} {one if low == 1 else several}"
        for low, high in _ends(most)
    ]


def numbered(most: int, one: str, several: str) -> list[str]:
    """Return the names of the octaves of numbers up to `most`, such as "row 1" and "rows 2 to 3"."""
    return [f"{several} {low} to {high}" if low < high else f"{one} {low}" for low, high in _ends(most)]


def _ends(most: int) -> list[tuple[int, int]]:
    return [(2**n, min(2 ** (n + 1) - 1, most)) for n in range(octave(most) + 1)]


def in_octave(rng: np.random.Generator, number: int, most: int) -> int:
    """Draw a size of an octave: a power of two, one more, or any."""
    low, high = 2**number, min(2 ** (number + 1) - 1, most)
    return int(rng.choice([low, min(low + 1, high), *rng.integers(low, high + 1, size=2)]))


def equal_share(draft_length: int) -> float:
    """Return the share of equal rows at which whole drafts of this length are often accepted."""
    return max(0.4, 1 - 1.6 / draft_length)


#: The same where replacements of short drafts are what counts.
FEW_EQUAL = 0.1


class SizesProbe:
    """What experiments at many sizes share.

    levels: how many levels every size has, by name.
    per_level: about the rows that every level gets.
    counts: ranks of emitted tokens.
    total: rows so far; of one call at most as many as a level gets.
    """

    def __init__(
        self, caller: Caller, rng: np.random.Generator, per_level: int, counts: RankCounts, levels: list[str]
    ) -> None:
        self.caller = caller
        self.total = 0
        self._per_level = per_level
        self._rng = rng
        self._most = caller.subject.max_batch or MOST_ROWS
        self._count(counts, levels)

    def _count(self, counts: RankCounts, levels: list[str]) -> None:
        """Begin to count; each level of these sizes is to be reached."""
        self.counts = counts
        self._filled = {name: np.zeros(len(counts.levels[name]), dtype=np.int64) for name in levels}
        self.planned = self._per_level * sum(len(filled) for filled in self._filled.values())

    def sample(self, count: int) -> None:
        """Observe about `count` more rows."""
        wanted = self.total + count
        while self.total < wanted and not self.caller.out_of_time():
            name = min(self._filled, key=lambda name: int(self._filled[name].min()))
            self._call(name, int(self._filled[name].argmin()))

    def _few_rows(self) -> int:
        few = MORE_ROWS if len(self._filled) == 1 else FEW_ROWS
        return min(int(self._rng.integers(*few)), self._most)

    def _done(self, observed: int, **levels: int) -> None:
        for name, level in levels.items():
            self._filled[name][level] += observed
        # A call of thousands of rows counts like one of a few: other sizes must have their turn.
        self.total += min(observed, self._per_level)

    def laws(self) -> tuple[Floats, Floats]:
        """Return the laws of the ranks under target and draft."""
        return laws_by_rank(self.counts.ranks)

    def looks(self, tolerance: float) -> list[Look]:
        """Return what is looked at."""
        return self.counts.looks(self.laws(), tolerance)

    def _call(self, name: str, level: int) -> None:
        """Make one call for a level of a size."""
        raise NotImplementedError


def places(rows: int) -> Integers:
    """Return the level of every row's index in a call: its octave, and 0 for the last of several."""
    found = np.array([octave(row + 1) for row in range(rows)], dtype=np.int64) + 1
    if rows > 1:
        found[-1] = 0
    return found


def place_levels(most: int) -> list[str]:
    """Return the names of the levels of `places`."""
    return ["last row of a call", *numbered(most, "row", "rows")]


class StepSizes(SizesProbe):
    """Steps, and rounds that draft themselves: lengths of drafts, rows of a call, tokens of a vocabulary.

    options: given to the subject; lengths of drafts alone are then tried, and laws are filtered.
    laws: one pair of laws of the ranks. Defaults to None: those of all kinds.
    """

    def __init__(
        self,
        caller: Caller,
        rng: np.random.Generator,
        per_level: int,
        *,
        seed: int,
        options: Mapping[str, Any] | None = None,
        laws: Laws | None = None,
    ) -> None:
        subject = caller.subject
        self.options = dict(options or {})
        self.seed, self.given = seed, laws
        self.most_drafts = min(subject.max_draft_length or MOST_DRAFTS, MOST_DRAFTS)
        self.most_tokens = min(subject.max_vocabulary or MOST_TOKENS, MOST_TOKENS)
        self.ranks = min(RANKS, self.most_tokens)
        most_rows = min(subject.max_batch or MOST_ROWS, MOST_ROWS)
        drafts = [f"drafts of {length}" for length in range(1, self.most_drafts + 1)]
        levels = {
            "drafts": drafts,
            "bonus": [f"bonus token after {words}" for words in drafts],
            "position": [f"position {place + 1}" for place in range(self.most_drafts + 1)],
        }
        chosen = ["drafts"]
        limits = self.most_drafts, most_rows, self.most_tokens
        self.together = {
            words: [
                [size for size in sizes if size <= most] for sizes, most in zip(each, limits, strict=True)
            ]
            for words, each in TOGETHER.items()
            if all(min(sizes) <= most for sizes, most in zip(each, limits, strict=True))
        }
        if not self.options:
            levels["rows"] = octaves(most_rows, "row in a call", "rows in a call")
            levels["place"] = place_levels(most_rows)
            levels["tokens"] = octaves(
                self.most_tokens, "token in the vocabulary", "tokens in the vocabulary"
            )
            chosen += ["rows", "tokens"]
            if self.together:
                levels["together"] = list(self.together)
                chosen.append("together")
        super().__init__(caller, rng, per_level, RankCounts(levels, self.ranks), chosen)
        if not self.options:
            # No vocabulary is smaller than the ranks that are distinguished.
            self._filled["tokens"][: octave(self.ranks)] = np.iinfo(np.int64).max // 2
            if self.together:
                self._filled["together"] -= (MORE - 1) * per_level
                self.planned += (MORE - 1) * per_level * len(self.together)
        self._most = most_rows

    def laws(self) -> tuple[Floats, Floats]:
        """Return the laws of the ranks under target and draft."""
        target, draft = laws_by_rank(self.ranks)
        return filtered(target, self.options), filtered(draft, self._draft_options())

    def _draft_options(self) -> dict[str, Any]:
        return of_draft(self.options, self.caller.subject.filters)

    def _few_drafts(self) -> int:
        return int(self._rng.integers(1, min(5, self.most_drafts) + 1))

    def _call(self, name: str, level: int) -> None:
        rng = self._rng
        drafts = level + 1 if name == "drafts" else self._few_drafts()
        rows = in_octave(rng, level, self._most) if name == "rows" else self._few_rows()
        if name == "tokens":
            vocabulary = max(in_octave(rng, level, self.most_tokens), self.ranks)
        else:
            vocabulary = int(rng.integers(self.ranks, min(self.most_tokens, 2 * self.ranks - 1) + 1))
        if name == "together":
            drafts, rows, vocabulary = (int(rng.choice(sizes)) for sizes in [*self.together.values()][level])
        if self.options:
            vocabulary = self.ranks
        equal = FEW_EQUAL if name == "together" and drafts <= max(SHORT) else equal_share(drafts)
        kinds, found, row, position = self._observed(drafts, rows, vocabulary, equal)
        bonus = position == drafts
        self.counts.add(kinds[~bonus], found[~bonus], drafts=drafts - 1)
        self.counts.add(kinds[bonus], found[bonus], bonus=drafts - 1)
        self.counts.add(kinds, found, position=position)
        if not self.options:
            levels = {"rows": octave(rows), "tokens": octave(vocabulary)}
            self.counts.add(kinds, found, place=places(rows)[row], **levels)
            if name == "together":
                self.counts.add(kinds, found, together=level)
                levels["together"] = level
            self._done(rows, drafts=drafts - 1, **levels)
        else:
            self._done(rows, drafts=drafts - 1)

    def _observed(
        self, drafts: int, rows: int, vocabulary: int, equal: float
    ) -> tuple[Integers, Integers, Integers, Integers]:
        """Make one call; return kind, rank, row and position of every emitted token.

        equal: share of contexts whose rows are equal.
        """
        rng = self._rng
        ranked = ranked_instance(
            self.seed,
            vocabulary=vocabulary,
            draft_length=drafts,
            equal=equal,
            laws=self.given,
        )
        starts = rng.integers(0, len(ranked.kinds), size=STARTS)[rng.integers(0, STARTS, size=rows)]
        tokens, lengths = self._emitted(ranked, starts)
        kept = np.arange(drafts + 1) < lengths[:, None]
        contexts = contexts_from(ranked.instance, starts, np.where(kept, tokens, 0))[:, :-1]
        row, position = np.nonzero(kept)
        return ranked.kinds[contexts[kept]], ranked.ranks[contexts[kept], tokens[kept]], row, position

    def _emitted(self, ranked: Ranked, starts: Integers) -> tuple[Integers, Integers]:
        """Call the subject with texts that begin in these contexts, one per row."""
        instance, subject = ranked.instance, self.caller.subject
        if subject.protocol == "draft-and-verify":
            kinds, which = np.unique(starts, return_inverse=True)
            instances = [replace(instance, start=int(start)) for start in kinds]
            _, tokens, lengths = self.caller.draft_and_verify(
                Models(self.caller, instances, which), options=self.options
            )
            return tokens, lengths
        rowless = subject.draft == "never"
        # Drafts that come without rows are the target's likeliest, so that long ones are accepted.
        law = (
            (ranked.ranks == 0).astype(float) if rowless else filtered(instance.draft, self._draft_options())
        )
        drafted = np.empty((len(starts), instance.draft_length), dtype=np.int64)
        context = starts
        for i in range(instance.draft_length):
            drafted[:, i] = inverse(law[context], self._rng.random(len(starts)))
            context = instance.next_context[context, drafted[:, i]]
        contexts = contexts_from(instance, starts, drafted)
        draft = None if rowless else instance.draft[contexts[:, :-1]]
        return self.caller.step(instance.target[contexts], draft, drafted, options=self.options)


def contexts_from(instance: Instance, starts: Integers, tokens: Integers) -> Integers:
    """Return the contexts of texts that begin in these: ``(batch, n)`` to ``(batch, n + 1)``."""
    found = np.empty((len(tokens), tokens.shape[1] + 1), dtype=np.int64)
    found[:, 0] = starts
    for i in range(tokens.shape[1]):
        found[:, i + 1] = instance.next_context[found[:, i], tokens[:, i]]
    return found
