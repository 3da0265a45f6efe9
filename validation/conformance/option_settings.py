"""Experiments under many settings of the options, on ranked rows; each setting has laws of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from specsim.support.arrays import Floats
from specsim.validation.conformance.calling import Caller
from specsim.validation.conformance.checks.base import Look
from specsim.validation.conformance.checks.decoder import decode_ranked
from specsim.validation.conformance.filters import filtered, of_draft, tempered
from specsim.validation.conformance.ranked import (
    RANKS,
    RankCounts,
    bent_laws,
    laws_by_rank,
    ranked_instance,
)
from specsim.validation.conformance.sizes import SizesProbe, StepSizes, equal_share

#: Tokens of steps that are looked at separately.
PLACES = ("a token at a drafted place", "a bonus token")


class StepSettings(StepSizes):
    """Steps, and rounds that draft themselves, under several settings of the options, with short drafts.

    settings: what is given to the subject, by turns.
    """

    def __init__(
        self,
        caller: Caller,
        rng: np.random.Generator,
        per_level: int,
        *,
        seed: int,
        settings: Sequence[Mapping[str, Any]],
    ) -> None:
        super().__init__(caller, rng, per_level, seed=seed, options=settings[0])
        self.settings = settings
        words = [f"{words}, {place}" for place in PLACES for words in spelled(settings)]
        self._count(RankCounts({"setting": words}, self.ranks), ["setting"])
        self._filled["setting"] = np.zeros(len(settings), dtype=np.int64)
        self.planned = self._per_level * len(settings)

    def looks(self, tolerance: float) -> list[Look]:
        """Return what is looked at."""
        settings = [*self.settings] * len(PLACES)
        return [settings_look(self.counts, settings, self.caller.subject.filters, tolerance)]

    def _call(self, name: str, level: int) -> None:
        self.options = dict(self.settings[level])
        rows = self._few_rows()
        # Half of the drafts have one token, so that many tokens are bonus tokens.
        drafts = 1 if self._rng.random() < 0.5 else self._few_drafts()
        kinds, found, _, position = self._observed(drafts, rows, self.ranks, equal_share(drafts))
        self.counts.add(kinds, found, setting=level + len(self.settings) * (position == drafts))
        self._done(rows, setting=level)


class DecoderSettings(SizesProbe):
    """Texts of a decoder under several settings of the options.

    settings: what is given to the subject, by turns.
    drafts: the draft length.
    """

    def __init__(
        self,
        caller: Caller,
        rng: np.random.Generator,
        per_level: int,
        *,
        seed: int,
        settings: Sequence[Mapping[str, Any]],
        drafts: int,
    ) -> None:
        self.seed, self.settings, self.drafts = seed, settings, drafts
        counts = RankCounts({"setting": spelled(settings)}, min(RANKS, caller.subject.max_vocabulary or 7))
        super().__init__(caller, rng, per_level, counts, ["setting"])

    def looks(self, tolerance: float) -> list[Look]:
        """Return what is looked at."""
        return [settings_look(self.counts, self.settings, self.caller.subject.filters, tolerance)]

    def _call(self, name: str, level: int) -> None:
        rng, vocabulary, drafts = self._rng, self.counts.ranks, self.drafts
        ranked = ranked_instance(
            self.seed, vocabulary=vocabulary, draft_length=drafts, equal=equal_share(drafts)
        )
        rows, prompt, written = self._few_rows(), int(rng.integers(1, 9)), 2 * drafts + 6
        prompts = rng.integers(0, vocabulary, size=(rows, prompt))
        tokens, _ = decode_ranked(self.caller, ranked.instance, prompts, written, self.settings[level])
        contexts = ranked.instance.contexts(np.concatenate([prompts, tokens], axis=1))[:, prompt:-1]
        self.counts.add(ranked.kinds[contexts], ranked.ranks[contexts, tokens], setting=level)
        self._done(rows, setting=level)


def spelled(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a name for each setting of the options."""
    return [", ".join(f"{name} {value:g}" for name, value in setting.items()) for setting in settings]


def settings_look(
    counts: RankCounts, settings: Sequence[Mapping[str, Any]], sides: str, tolerance: float
) -> Look:
    """Return the look at ranks by setting: a wrong sampler ignores one, or takes it for another one.

    sides: what the options apply to, as in `Subject.filters`.
    """
    plain, drawn = laws_by_rank(counts.ranks)
    laws = [filtered(plain, setting) for setting in settings]
    words, kinds = counts.levels["setting"], len(plain)
    alternatives: dict[str, Floats] = {}
    for level, setting in enumerate(settings):
        wrong = bent_laws(laws[level], filtered(drawn, of_draft(setting, sides)))
        wrong["the option ignored"] = plain
        # Nothing that can happen is excluded.
        wrong["the likeliest token alone"] = 0.01 * laws[level] + 0.99 * tempered(plain, 0)
        # Of the same option: a value that is clamped, rounded or fixed.
        wrong |= {
            f"as if it were {words[other]}": law
            for other, law in enumerate(laws)
            if other != level and settings[other].keys() == setting.keys()
        }
        for what, law in wrong.items():
            table = np.concatenate(laws)
            table[level * kinds : (level + 1) * kinds] = law
            alternatives[f"{words[level]}: {what}"] = table
    return counts.look("setting", np.concatenate(laws), alternatives, tolerance)
