"""Experiments at many sizes: drafts, batches, vocabularies, prompts and texts, on ranked rows.

Sizes are drawn so that every level of every size is reached: each call is for the level that has fewest
observations, and its other sizes are random. Levels are octaves, 2 to 3, 4 to 7 and so on, or single numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.calling import Caller
from specsim.validation.conformance.checks.base import Look
from specsim.validation.conformance.checks.decoder import decode_ranked
from specsim.validation.conformance.filters import filtered, of_draft
from specsim.validation.conformance.instances import Instance, inverse
from specsim.validation.conformance.probes import Models
from specsim.validation.conformance.ranked import (
    RANKS,
    Copies,
    Echoes,
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
#: Most tokens that are repeated in a prompt.
LONGEST_PERIOD = 6
#: Least rows of a call for the longest texts of a decoder, for 48 rows of every level.
TEXTS = 64
#: Contexts in which the texts of a call begin.
STARTS = 8
#: Distances in a text of tokens whose places are compared: coins may be used again so far behind.
APART = (
    *(*range(1, 21), 24, 25, 30, 32, 40, 48, 50, 60, 64, 80, 96, 100, 120, 125, 128, 150, 160, 192, 200),
    *(250, 255, 256),
)
#: Bands of such distances: what stands between depends on the accepted lengths.
BANDS = ((17, 24), (25, 32), (33, 48), (49, 64), (65, 96), (97, 128), (129, 192), (193, 256))
#: Most tokens of a prompt, and tokens written in a call for the longest texts.
MOST_PROMPT, LONGEST = 1023, 300


def octave(size: int) -> int:
    """Return the number of the octave: 0 for 1, 1 for 2 and 3, 2 for 4 to 7, ..."""
    return int(size).bit_length() - 1


def octaves(most: int, what: str) -> list[str]:
    """Return the names of the octaves up to `most`."""
    return [
        f"{2**n} {what}" if n == 0 else f"{2**n} to {min(2 ** (n + 1) - 1, most)} {what}"
        for n in range(octave(most) + 1)
    ]


def in_octave(rng: np.random.Generator, number: int, most: int) -> int:
    """Draw a size of an octave: a power of two, one more, or any."""
    low, high = 2**number, min(2 ** (number + 1) - 1, most)
    return int(rng.choice([low, min(low + 1, high), *rng.integers(low, high + 1, size=2)]))


def equal_share(draft_length: int) -> float:
    """Return the share of equal rows at which whole drafts of this length are often accepted."""
    return max(0.4, 1 - 1.6 / draft_length)


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
    return ["last row of a call", *octaves(most, "th row")]


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
        if not self.options:
            levels["rows"] = octaves(most_rows, "rows in a call")
            levels["place"] = place_levels(most_rows)
            levels["tokens"] = octaves(self.most_tokens, "tokens in the vocabulary")
            chosen += ["rows", "tokens"]
        super().__init__(caller, rng, per_level, RankCounts(levels, self.ranks), chosen)
        if not self.options:
            # No vocabulary is smaller than the ranks that are distinguished.
            self._filled["tokens"][: octave(self.ranks)] = np.iinfo(np.int64).max // 2
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
        if self.options:
            vocabulary = self.ranks
        kinds, found, row, position = self._observed(drafts, rows, vocabulary)
        bonus = position == drafts
        self.counts.add(kinds[~bonus], found[~bonus], drafts=drafts - 1)
        self.counts.add(kinds[bonus], found[bonus], bonus=drafts - 1)
        self.counts.add(kinds, found, position=position)
        if not self.options:
            levels = {"rows": octave(rows), "tokens": octave(vocabulary)}
            self.counts.add(kinds, found, place=places(rows)[row], **levels)
            self._done(rows, drafts=drafts - 1, **levels)
        else:
            self._done(rows, drafts=drafts - 1)

    def _observed(
        self, drafts: int, rows: int, vocabulary: int
    ) -> tuple[Integers, Integers, Integers, Integers]:
        """Make one call; return kind, rank, row and position of every emitted token."""
        rng = self._rng
        ranked = ranked_instance(
            self.seed,
            vocabulary=vocabulary,
            draft_length=drafts,
            equal=equal_share(drafts),
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


def repeating(rng: np.random.Generator, prompts: Integers) -> tuple[Integers, Integers]:
    """Let half of the prompts ``(B, n)`` repeat their last few tokens, for drafts that are looked up in them.

    Returns: the prompts, and after how many tokens each repeats itself, 0 if it does not.
    """
    rows, length = prompts.shape
    drawn = rng.integers(1, LONGEST_PERIOD + 1, size=rows)
    periods: Integers = np.where((rng.random(rows) < 0.5) & (drawn < length), drawn, 0)
    # Counted from the end, so that each ends with a whole period.
    place = length - 1 - (length - 1 - np.arange(length)) % np.where(periods > 0, periods, length)[:, None]
    return np.take_along_axis(prompts, place, axis=1), periods


class DecoderSizes(SizesProbe):
    """Texts of a decoder: lengths of prompts, texts and drafts, rows of a call.

    texts: whether prompts and texts are long and drafts and batches of every size. False: a few dozen tokens,
        which is enough to see whether anything of the prefix is forgotten.
    """

    def __init__(
        self, caller: Caller, rng: np.random.Generator, per_level: int, *, seed: int, drafts: int, long: bool
    ) -> None:
        subject = caller.subject
        self.seed, self.drafts, self.long = seed, drafts, long
        self.most_drafts = min(subject.max_draft_length or MOST_DRAFTS, MOST_DRAFTS)
        self.most_tokens = min(subject.max_vocabulary or 7, 7)
        self.ranks = min(RANKS, self.most_tokens)
        most_rows = min(subject.max_batch or MOST_ROWS, MOST_ROWS)
        self.longest = LONGEST if long else 40
        levels = {
            "prompt": octaves(MOST_PROMPT if long else 31, "tokens in the prompt"),
            "text": octaves(self.longest, "tokens written"),
        }
        chosen = ["prompt", "text"]
        self.echoes = Echoes(
            [distance for distance in APART if distance < self.longest],
            [band for band in BANDS if band[0] < self.longest],
        )
        self.copies = Copies(self.ranks)
        if long:
            levels["rows"] = octaves(most_rows, "rows in a call")
            levels["place"] = place_levels(most_rows)
            levels["drafts"] = [f"drafts of {length}" for length in range(1, self.most_drafts + 1)]
            chosen += ["rows", "drafts"]
        super().__init__(caller, rng, per_level, RankCounts(levels, self.ranks), chosen)
        self._most = most_rows

    def looks(self, tolerance: float) -> list[Look]:
        """Return what is looked at."""
        copies = self.copies.look(self.laws()[0], tolerance)
        return [*super().looks(tolerance), self.echoes.look(tolerance), copies]

    def _call(self, name: str, level: int) -> None:
        rng = self._rng
        most_prompt = MOST_PROMPT if self.long else 31
        few = rng.integers(1, 9) if rng.random() < 0.5 else rng.integers(9, 32)
        prompt = in_octave(rng, level, most_prompt) if name == "prompt" else int(few)
        rows = in_octave(rng, level, self._most) if name == "rows" else self._few_rows()
        if name == "text":
            # Long texts are what coins that are used again much later are found by.
            rows = min(max(rows, TEXTS * self._per_level // 48), self._most)
        drafts = level + 1 if name == "drafts" else self.drafts
        # All octaves of places in a text are filled by texts of the longest kind.
        written = self.longest if name == "text" else 6 if name == "rows" else 2 * drafts + 6
        vocabulary = int(rng.integers(self.ranks, self.most_tokens + 1))
        ranked = ranked_instance(
            self.seed, vocabulary=vocabulary, draft_length=drafts, equal=equal_share(drafts)
        )
        instance = ranked.instance
        prompts, periods = repeating(rng, rng.integers(0, vocabulary, size=(rows, prompt)))
        tokens, _ = decode_ranked(self.caller, instance, prompts, written)
        contexts = instance.contexts(np.concatenate([prompts, tokens], axis=1))[:, prompt:-1]
        kinds, found = ranked.kinds[contexts], ranked.ranks[contexts, tokens]
        place = np.array([octave(n + 1) for n in range(written)])
        self.counts.add(kinds, found, prompt=octave(prompt), text=np.broadcast_to(place, kinds.shape))
        self.echoes.add(instance.target[contexts], tokens, rng.random(tokens.shape))
        self.copies.add(kinds, ranked.ranks[contexts], tokens, prompts, periods)
        if self.long:
            row = np.broadcast_to(places(rows)[:, None], kinds.shape)
            self.counts.add(kinds, found, place=row, rows=octave(rows), drafts=drafts - 1)
            self._done(rows, prompt=octave(prompt), rows=octave(rows), drafts=drafts - 1)
        else:
            self._done(rows, prompt=octave(prompt))
        # High octaves have many places, so that few texts fill them.
        self._filled["text"][: octave(written) + 1] += rows * np.maximum(np.bincount(place) // 4, 1)
