"""Texts of decoders under several options at once, drawn anew for every call, on ranked rows.

As in `specsim.validation.conformance.combinations`, the place of every token in its row is counted, which is
uniform whatever the options are and whatever was written before.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from specsim.support.arrays import Bools, Floats, Integers
from specsim.validation.conformance.calling import Caller
from specsim.validation.conformance.checks.base import Look
from specsim.validation.conformance.checks.decoder import decode_ranked
from specsim.validation.conformance.combinations import (
    APART,
    BINS,
    LONG,
    MANY,
    MOST_DRAFTS,
    MOST_ROWS,
    SHARE,
    TEMPERATURES,
    _cells,
    _clear,
    _narrowed,
    _value,
    places_look,
)
from specsim.validation.conformance.filters import FILTERS, filtered, of_draft
from specsim.validation.conformance.histories import NoMassError, ends_at, processed
from specsim.validation.conformance.instances import Instance
from specsim.validation.conformance.ranked import RANKS, ranked_instance
from specsim.validation.conformance.sizes import equal_share
from specsim.validation.conformance.subjects import Subject

#: Tokens of a long text; tokens of the vocabulary there, so that a token that ends texts is rare.
FAR, FARTHEST, RARE = 48, 100, 12
#: Tokens of a text that are counted together; those after them are counted apart.
EARLY = 16
#: How the tokens of a row are ordered.
ORDERS = ("the drafts' likeliest first", "the likeliest last", "by what options left of them")
#: Rows of a call where they are few.
FEW_ROWS = (16, 49)
#: What every decoder can be given, besides its options.
SIZES = {
    "long": f"drafts of {LONG} and more",
    "many": f"{MANY} rows and more",
    "far": f"texts of {FAR} tokens and more",
}


def text_parts(subject: Subject) -> list[str]:
    """Return what can be combined: options, processing, which is in every call, and large sizes."""
    taken = set(subject.options) & {*FILTERS, "eos", "stop", "seeds", "temperatures", "samples", "d2t"}
    if subject.process is not None:
        # What processing leaves of a row may be at the edge of what a filter keeps.
        taken -= set(FILTERS) - {"temperature"}
        taken.add("process")
    if (subject.max_vocabulary or RANKS) < RANKS:
        taken -= {"d2t", "stop"}
    large = ["far"]
    for name, most, least in (("long", subject.max_draft_length, LONG), ("many", subject.max_batch, MANY)):
        if most is None or most >= least:
            large.append(name)
    return sorted(taken) + large


def text_pairs(subject: Subject) -> list[tuple[str, str]]:
    """Return the pairs that can be combined; two sizes are none."""
    return [
        pair
        for pair in itertools.combinations(text_parts(subject), 2)
        if not set(pair) <= set(SIZES) and frozenset(pair) not in APART
    ]


class TextCombinations:
    """Texts of a decoder.

    pairs: of parts; each call is made for the pair that has fewest rows.
    counts: shape ``(orders, 2 * pairs, BINS + 1)``: by order of a row's tokens, by pair, and whether the
        token is one of the first `EARLY` of its text; in the last cell the tokens of no probability.
    total: rows so far.
    """

    def __init__(self, caller: Caller, rng: np.random.Generator, *, seed: int) -> None:
        self.caller, self._rng, self._seed = caller, rng, seed
        self.pairs = text_pairs(caller.subject)
        self._parts = sorted({part for pair in self.pairs for part in pair})
        self._filled = np.zeros(len(self.pairs), dtype=np.int64)
        self.counts = np.zeros((len(ORDERS), 2 * len(self.pairs), BINS + 1), dtype=np.int64)
        self.total = 0

    def sample(self, count: int) -> None:
        """Write about `count` more texts."""
        wanted = self.total + count
        while self.total < wanted and not self.caller.out_of_time():
            chosen = self._chosen(self.pairs[int(self._filled.argmin())])
            rows = self._round(chosen)
            self._filled += [rows if set(pair) <= chosen else 0 for pair in self.pairs]
            self.total += rows

    def looks(self, tolerance: float) -> list[Look]:
        """Return the looks, one for each order: places of tokens by pair of options."""
        words = [
            f"{' and '.join(SIZES.get(part, part) for part in pair)}: {place}"
            for pair in self.pairs
            for place in (f"one of the first {EARLY} tokens", "a later token")
        ]
        return [
            places_look(self.counts[number], words, order, tolerance) for number, order in enumerate(ORDERS)
        ]

    def _chosen(self, pair: tuple[str, str]) -> set[str]:
        """Return what a call has: a pair, and some more."""
        chosen = set(pair) | ({"process"} & set(self._parts))
        for part in self._rng.permutation(self._parts):
            apart = any(part in words and words & chosen for words in APART)
            if part not in SIZES and not apart and self._rng.random() < SHARE:
                chosen.add(str(part))
        return chosen

    # One call.

    def _round(self, chosen: set[str]) -> int:
        """Make one call; return its rows."""
        rng, subject = self._rng, self.caller.subject
        most = min(subject.max_draft_length or MOST_DRAFTS, MOST_DRAFTS)
        drafts = int(rng.integers(LONG, most + 1) if "long" in chosen else rng.integers(1, min(4, most) + 1))
        limit = min(subject.max_batch or MOST_ROWS, MOST_ROWS)
        size = min(int(rng.integers(MANY, limit + 1) if "many" in chosen else rng.integers(*FEW_ROWS)), limit)
        written = int(rng.integers(FAR, FARTHEST + 1)) if "far" in chosen else 2 * drafts + 6
        # Processing may be for a small vocabulary.
        tokens = RARE if "far" in chosen and subject.process is None else RANKS
        instance, options = self._setting(chosen, min(subject.max_vocabulary or tokens, tokens), drafts, size)
        prompts = self._prompts(size, instance.vocabulary, options.get("stop", ()))
        texts, _ = decode_ranked(self.caller, instance, prompts, written, options)
        # Nothing is known of a text that processing leaves no token.
        with suppress(NoMassError):
            self._count(instance, options, chosen, prompts, texts)
        return size

    def _setting(
        self, chosen: set[str], tokens: int, drafts: int, size: int
    ) -> tuple[Instance, dict[str, Any]]:
        """Return rows and options on which every reading of the filters keeps the same tokens.

        Filters for which there are none are taken off what is chosen.
        """
        rng, process = self._rng, self.caller.subject.process
        ranked = ranked_instance(
            self._seed,
            vocabulary=tokens,
            draft_length=drafts,
            equal=equal_share(drafts),
            # Processing that forbids tokens could leave nothing of a row with zeros.
            forbidden=0.5 if process is None else 0.0,
        )
        instance = ranked.instance
        options: dict[str, Any] = {}
        if "d2t" in chosen:
            instance, options["d2t"] = _narrowed(ranked, rng)
        if "seeds" in chosen:
            options["seeds"] = self.caller.row_seeds(size)
        if "samples" in chosen:
            options["samples"] = int(rng.integers(2, 4))
        if "eos" in chosen:
            options["eos"] = int(rng.integers(tokens))
        if "stop" in chosen:
            first, second = (int(token) for token in rng.permutation(tokens)[:2])
            options["stop"] = ((first, second), (second, second, first))
        if "temperatures" in chosen:
            # The likeliest token may not be one alone where rows are processed.
            options["temperatures"] = rng.choice(TEMPERATURES[0 if process is None else 1 :], size=size)
        names = [name for name in FILTERS if name in chosen]
        rows = np.concatenate([instance.target, instance.draft])
        temperatures = TEMPERATURES[1:] if "temperatures" in chosen else (1.0,)
        for _ in range(50):
            filters = {name: _value(name, rng) for name in names}
            if all(_clear(rows, {"temperature": value, **filters}) for value in temperatures):
                return instance, options | filters
        chosen -= set(names)
        return instance, options

    def _prompts(self, size: int, tokens: int, stop: tuple[tuple[int, ...], ...]) -> Integers:
        """Return prompts, of which none ends with a token that could begin a stop sequence."""
        prompts = self._rng.integers(0, tokens, size=(size, int(self._rng.integers(1, 13))))
        others = np.setdiff1d(np.arange(tokens), [token for sequence in stop for token in sequence])
        prompts[:, -1] = self._rng.choice(others, size=size)
        return prompts

    def _count(
        self,
        instance: Instance,
        options: Mapping[str, Any],
        chosen: set[str],
        prompts: Integers,
        texts: Integers,
    ) -> None:
        samples = options.get("samples", 1)
        ends = ends_at(texts, eos=options.get("eos"), stop=options.get("stop", ()))
        going: Bools = np.cumsum(ends, axis=1) - ends == 0
        raw, drawn, law = self._laws(
            instance, options, np.repeat(prompts, samples, axis=0), np.where(going, texts, 0), going
        )
        token, place = texts[going], np.nonzero(going)[1]
        mass = law[np.arange(len(law)), token]
        # Where one token alone is possible there is nothing to learn but that it is the one.
        counted = (law.max(axis=1) < 1 - 1e-12) | (mass <= 0)
        levels = np.array(
            [number for number, pair in enumerate(self.pairs) if set(pair) <= chosen], dtype=int
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            keys = (np.nan_to_num(law / drawn, nan=-1.0), law, np.nan_to_num(law / raw, nan=-1.0))
        for order, key in enumerate(keys):
            cells = _cells(law, token, key, self._rng)
            for late in (0, 1):
                found = np.bincount(cells[counted & ((place >= EARLY) == late)], minlength=BINS + 1)
                self.counts[order, 2 * levels + late] += found

    def _laws(
        self,
        instance: Instance,
        options: Mapping[str, Any],
        prompts: Integers,
        texts: Integers,
        going: Bools,
    ) -> tuple[Floats, Floats, Floats]:
        """Return rows of texts that still go on: the target's, and what tokens are drafted and emitted by."""
        subject = self.caller.subject
        whole, length = np.concatenate([prompts, texts], axis=1), prompts.shape[1]
        contexts = instance.contexts(whole)[:, length:-1]
        target, draft = instance.target[contexts], instance.draft[contexts]
        raw = target[going]
        if subject.process is not None:
            for place in range(texts.shape[1]):
                on = going[:, place]
                if on.any():
                    target[on, place] = processed(subject, whole[on, : length + place], target[on, place])
        row = np.nonzero(going)[0]
        target, draft = target[going], draft[going]
        filters = {name: options[name] for name in FILTERS if name in options}
        if "temperatures" not in options:
            return raw, filtered(draft, of_draft(filters, subject.filters)), filtered(target, filters)
        own = np.repeat(options["temperatures"], options.get("samples", 1))[row]
        for value in np.unique(own):
            which, here = own == value, {"temperature": float(value), **filters}
            target[which] = filtered(target[which], here)
            draft[which] = filtered(draft[which], of_draft(here, subject.filters))
        return raw, draft, target
