"""Texts of decoders at many sizes: prompts, texts, drafts, rows of a call, vocabularies, on ranked rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.calling import Caller, NotApplicable
from specsim.validation.conformance.checks.base import Look
from specsim.validation.conformance.checks.decoder import decode_ranked
from specsim.validation.conformance.decoder_prompts import TOGETHER, drawn_prompts
from specsim.validation.conformance.instances import Instance
from specsim.validation.conformance.ranked import (
    KINDS,
    RANKS,
    WIDE_LAWS,
    Copies,
    Echoes,
    Laws,
    Parts,
    RankCounts,
    laws_by_rank,
    ranked_instance,
)
from specsim.validation.conformance.sizes import (
    MORE_ROWS,
    MOST_DRAFTS,
    MOST_ROWS,
    SizesProbe,
    equal_share,
    in_octave,
    octave,
    octaves,
    place_levels,
    places,
)

#: Least rows of a call for the longest texts of a decoder, for 48 rows of every level.
TEXTS = 64
#: Distances in a text of tokens whose places are compared: coins may be used again so far behind.
APART = (
    *(*range(1, 21), 24, 25, 30, 32, 40, 48, 50, 60, 64, 80, 96, 100, 120, 125, 128, 150, 160, 192, 200),
    *(250, 255, 256),
)
#: Bands of such distances: what stands between depends on the accepted lengths.
BANDS = ((17, 24), (25, 32), (33, 48), (49, 64), (65, 96), (97, 128), (129, 192), (193, 256))
#: Most tokens of a prompt, and tokens written in a call for the longest texts.
MOST_PROMPT, LONGEST = 1023, 300
#: Lengths of prompts where another size is what counts, the first and the last, and the share of each range.
PROMPTS, SHARES = ((1, 8), (9, 31), (17, 127)), (0.42, 0.4, 0.18)
#: Tokens of a vocabulary, but for wide ones; drafted tokens where another size is what counts.
FEW_TOKENS, FEW_DRAFTS = 7, 6
#: More rows than these get drafts of one length.
MANY_ROWS = 255
#: Numbers of tokens that are asked for: so few that a draft is longer, or just fits.
ASKED = (
    "1 token asked for",
    "2 tokens asked for",
    "one token fewer than a draft asked for",
    "as many tokens as a draft asked for",
    "one token more than a draft asked for",
)
#: How often such levels, calls of one row and drafts of one get the rows of another level: these calls write
#: few tokens, and code for them alone may err a little only. And the least rows of a call that this is for.
FEW_ASKED, SINGLE, SHORT, ROOM = 3, 2, 8, 16
#: Laws of the ranks in many calls where drafts ought to be rejected often: the likeliest draft is half as
#: likely under the target, so that half of the coins reject it, and one of two others has to replace it.
HALVED = "that halve the likeliest draft"
HALVED_LAWS: dict[int, Laws] = {
    2: ((128, 128), (224, 32)),
    3: ((104, 80, 72), (208, 24, 24)),
    4: ((96, 72, 56, 32), (192, 16, 16, 32)),
}
#: Share of such calls, and of those among calls of one row and drafts of one token.
SHARE_HALVED, SHARE_SINGLE = 0.5, 0.8
#: Tokens of wide vocabularies by octave, from 8 on.
WIDE_TOKENS = ((8, 13), (16, 29), (33, 60), (64, 100), (129, 200), (256, 400), (512, 1000))
#: Rows and longest prompt of a call with a wide vocabulary, of which every token has a row of its own.
WIDE_ROWS, WIDE_PROMPT = (8, 40), 8


class DecoderSizes(SizesProbe):
    """Texts of a decoder: lengths of prompts, texts and drafts, rows of a call, tokens of the vocabulary.

    long: whether prompts and texts are long and drafts and batches of every size. False: a few dozen tokens,
        which is enough to see whether anything of the prefix is forgotten.
    """

    def __init__(
        self, caller: Caller, rng: np.random.Generator, per_level: int, *, seed: int, drafts: int, long: bool
    ) -> None:
        subject = caller.subject
        self.seed, self.drafts, self.long = seed, drafts, long
        self.most_drafts = min(subject.max_draft_length or MOST_DRAFTS, MOST_DRAFTS)
        self.most_tokens = min(subject.max_vocabulary or FEW_TOKENS, FEW_TOKENS)
        self.ranks = min(RANKS, self.most_tokens)
        most_rows = min(subject.max_batch or MOST_ROWS, MOST_ROWS)
        self.longest = LONGEST if long else 40
        levels: dict[str, Sequence[str]] = {
            "prompt": octaves(MOST_PROMPT if long else 31, "token in the prompt", "tokens in the prompt"),
            "text": octaves(self.longest, "token written", "tokens written"),
            "together": TOGETHER,
        }
        chosen = ["prompt", "text"]
        self.echoes = Echoes(
            [distance for distance in APART if distance < self.longest],
            [band for band in BANDS if band[0] < self.longest],
        )
        self.copies = Copies(self.ranks)
        split: dict[str, list[str]] = {}
        if long:
            drafts_words = [f"drafts of {length}" for length in range(1, self.most_drafts + 1)]
            levels["rows"] = octaves(most_rows, "row in a call", "rows in a call")
            levels["drafts"] = drafts_words
            levels |= {"place": place_levels(most_rows), "asked": ASKED}
            chosen += ["rows", "drafts", "asked"]
            split["rows"] = [f"first token of a text, {words}" for words in levels["rows"]]
            split["first"] = [f"first token of a text, {words}" for words in drafts_words]
            split["later"] = [f"later token of a text, {words}" for words in drafts_words]
        # A bonus token may have the coin that accepted a draft, and a first one is never a bonus token.
        self.parts = Parts(split)
        counts = RankCounts(levels, self.ranks, kinds=(*KINDS, HALVED))
        super().__init__(caller, rng, per_level, counts, chosen)
        self._most = most_rows
        self.wide = RankCounts({"tokens": self._wide_octaves() if long else []}, RANKS, kinds=("",))
        if self.wide.levels["tokens"]:
            self._filled["tokens"] = np.zeros(len(self.wide.levels["tokens"]), dtype=np.int64)
            self.planned += per_level * len(self._filled["tokens"])
        if long and most_rows >= ROOM:
            for name, number, times in (
                ("rows", slice(1), SINGLE),
                ("drafts", slice(1), SHORT),
                ("asked", slice(None), FEW_ASKED),
            ):
                self._filled[name][number] -= (times - 1) * per_level
                self.planned += (times - 1) * per_level * len(self._filled[name][number])

    def _wide_octaves(self) -> list[str]:
        most = self.caller.subject.max_vocabulary or max(WIDE_TOKENS[-1])
        fitting = sum(min(sizes) <= most for sizes in WIDE_TOKENS)
        words = "tokens in the vocabulary"
        return octaves(2 ** (3 + len(WIDE_TOKENS)) - 1, words, words)[3:][:fitting]

    def laws(self) -> tuple[Floats, Floats]:
        """Return the laws of the ranks under target and draft, those of `HALVED_LAWS` last."""
        target, draft = laws_by_rank(self.ranks)
        halved = np.array(HALVED_LAWS[self.ranks], dtype=np.float64) / 256
        return np.vstack([target, halved[0]]), np.vstack([draft, halved[1]])

    def looks(self, tolerance: float) -> list[Look]:
        """Return what is looked at."""
        found = [
            *super().looks(tolerance),
            self.echoes.look(tolerance),
            self.copies.look(laws_by_rank(self.ranks)[0], tolerance),
            *self.parts.looks(tolerance),
        ]
        if self.wide.levels["tokens"]:
            target, draft = np.array(WIDE_LAWS, dtype=np.float64)[:, None] / 256
            found += self.wide.looks((target, draft), tolerance)
        return found

    def _call(self, name: str, level: int) -> None:
        if name == "tokens":
            self._call_wide(level)
            return
        rng = self._rng
        most_prompt = MOST_PROMPT if self.long else 31
        prompt = in_octave(rng, level, most_prompt) if name == "prompt" else self._prompt()
        rows, drafts, written = self._sizes(name, level)
        share = SHARE_SINGLE if 1 in (rows, drafts) else SHARE_HALVED
        halved = name in ("rows", "drafts", "asked") and bool(rng.random() < share)
        if halved:
            # Long drafts are never accepted whole, and would take many rounds.
            written = min(written, 2 * FEW_DRAFTS)
        vocabulary = int(rng.integers(self.ranks, self.most_tokens + 1))
        ranked = ranked_instance(
            self.seed,
            vocabulary=vocabulary,
            draft_length=1,
            equal=equal_share(drafts),
            laws=HALVED_LAWS[self.ranks] if halved else None,
        )
        instance = replace(ranked.instance, draft_length=drafts)
        prompts, periods, together = drawn_prompts(rng, rows, prompt, vocabulary)
        tokens, contexts = self._written(instance, prompts, written)
        kinds, found = ranked.kinds[contexts], ranked.ranks[contexts, tokens]
        coins = rng.random(tokens.shape)
        if halved:
            kinds = np.full_like(kinds, len(KINDS))
            self._add_parts(instance, tokens, contexts, coins, rows=octave(rows), drafts=drafts - 1)
        else:
            self.copies.add(kinds, ranked.ranks[contexts], tokens, prompts, periods)
        self.echoes.add(instance.target[contexts], tokens, coins)
        place = np.array([octave(n + 1) for n in range(written)])
        text = np.broadcast_to(place, kinds.shape)
        self.counts.add(kinds, found, prompt=octave(prompt), text=text, together=together)
        reached = {"prompt": octave(prompt)}
        if self.long:
            sizes = {"rows": octave(rows), "drafts": drafts - 1}
            if name == "asked":
                sizes["asked"] = level
            row = np.broadcast_to(places(rows)[:, None], kinds.shape)
            self.counts.add(kinds, found, place=row, **sizes)
            reached |= sizes
        self._done(rows, **reached)
        # High octaves have many places, so that few texts fill them.
        self._filled["text"][: octave(written) + 1] += rows * np.maximum(np.bincount(place) // 4, 1)

    def _sizes(self, name: str, level: int) -> tuple[int, int, int]:
        """Return rows, drafted tokens, and tokens that are asked for."""
        rng = self._rng
        if name == "rows":
            rows = in_octave(rng, level, self._most)
            # A call of one row has few tokens, and one of very many takes long.
            drafts = self.drafts if rows > MANY_ROWS else self._few_drafts()
            return rows, drafts, 6 if rows > 1 else 2 * drafts + 6
        if name == "text":
            # Long texts are what coins that are used again much later are found by.
            rows = max(self._few_rows(), TEXTS * self._per_level // 48)
            # All octaves of places in a text are filled by texts of the longest kind.
            return min(rows, self._most), self.drafts, self.longest
        if name == "prompt":
            drafts = self._few_drafts()
            return self._few_rows(), drafts, 2 * drafts + 6
        rows = min(int(rng.integers(*MORE_ROWS)), self._most)
        if name == "drafts":
            return rows, level + 1, 2 * (level + 1) + 6
        if level < 2:
            return rows, self._few_drafts(), level + 1
        drafts = min(int(rng.integers(3, FEW_DRAFTS + 1)), self.most_drafts)
        return rows, drafts, max(drafts + level - 3, 1)

    def _add_parts(
        self,
        instance: Instance,
        tokens: Integers,
        contexts: Integers,
        coins: Floats,
        *,
        rows: int,
        drafts: int,
    ) -> None:
        for at, levels in (
            (np.s_[:, :1], {"rows": rows, "first": drafts}),
            (np.s_[:, 1:], {"later": drafts}),
        ):
            before = contexts[at]
            self.parts.add(instance.target[before], instance.draft[before], tokens[at], coins[at], **levels)

    def _call_wide(self, level: int) -> None:
        rng = self._rng
        most = self.caller.subject.max_vocabulary or max(WIDE_TOKENS[-1])
        vocabulary = int(rng.choice([size for size in WIDE_TOKENS[level] if size <= most]))
        ranked = ranked_instance(self.seed, vocabulary=vocabulary, draft_length=1, laws=WIDE_LAWS)
        prompts = rng.integers(
            0,
            vocabulary,
            size=(min(int(rng.integers(*WIDE_ROWS)), self._most), rng.integers(1, WIDE_PROMPT + 1)),
        )
        try:
            instance = replace(ranked.instance, draft_length=self.drafts)
            tokens, contexts = self._written(instance, prompts, self.drafts + 3)
        except NotApplicable:
            # Some adapters hold small vocabularies only: that is no reason to leave out all other sizes.
            self._filled["tokens"][level:] = np.iinfo(np.int64).max // 2
            return
        self.wide.add(np.zeros_like(tokens), ranked.ranks[contexts, tokens], tokens=level)
        self._done(len(prompts), tokens=level)

    def _written(self, instance: Instance, prompts: Integers, count: int) -> tuple[Integers, Integers]:
        """Write texts; return their tokens and the context of each, both ``(rows, count)``."""
        tokens, _ = decode_ranked(self.caller, instance, prompts, count)
        contexts = instance.contexts(np.concatenate([prompts, tokens], axis=1))
        return tokens, contexts[:, prompts.shape[1] : -1]

    def _prompt(self) -> int:
        number = int(self._rng.choice(len(PROMPTS), p=SHARES))
        low, high = PROMPTS[number if self.long else min(number, 1)]
        return int(self._rng.integers(low, high + 1))

    def _few_drafts(self) -> int:
        if not self.long or self._rng.random() < 0.4:
            return self.drafts
        return int(self._rng.integers(1, min(FEW_DRAFTS, self.most_drafts) + 1))
