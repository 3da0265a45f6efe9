"""Texts of decoders under several options at once, drawn anew for every call, on ranked rows.

As in `specsim.validation.conformance.combinations`, the place of every token in its row is counted, which is
uniform whatever the options are and whatever was written before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from specsim.support.arrays import Bools, Floats, Integers
from specsim.validation.conformance.calling import Caller
from specsim.validation.conformance.checks.decoder import decode_ranked
from specsim.validation.conformance.combinations import (
    LONG,
    MANY,
    Combinations,
    narrowed,
    pairs_of,
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
#: Lengths of prompts, from one to below the other, and how often they are tried.
PROMPTS, PROMPT_SHARES = ((1, 13), (13, 41), (41, 201)), (0.6, 0.3, 0.1)
#: Laws of the ranks where filters keep many tokens, what each token behind has of the one before, tokens of
#: that vocabulary, the largest top-k, and how often this is so.
FLAT, FLAT_SLOPE, FLAT_TOKENS, MOST_KEPT, FLAT_SHARE = (
    ((56, 40, 32, 128), (32, 72, 40, 112)),
    0.97,
    64,
    40,
    0.3,
)
#: Share of the texts that are shorter than a draft.
SHORT = 0.15
#: Rows of a call where they are few.
FEW_ROWS = (16, 49)
#: Sequences that end a text, of two tokens: short, long, and beginnings of others.
STOPS: tuple[Callable[[int, int], tuple[tuple[int, ...], ...]], ...] = (
    lambda one, other: ((one, other), (other, other, one)),
    lambda one, other: ((one,),),
    lambda one, other: ((one, other), (one, other, one)),
    lambda one, other: ((one, one, other, one, one),),
)
#: What every decoder can be given, besides its options.
SIZES = {
    "long": f"drafts of {LONG} and more",
    "many": f"{MANY} rows and more",
    "single": "calls of one to three rows",
    "far": f"texts of {FAR} tokens and more",
}


def text_parts(subject: Subject) -> list[str]:
    """Return what can be combined: options, processing, which is in every call, and unusual sizes."""
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
    if subject.max_batch != 1:
        large.append("single")
    return sorted(taken) + large


def text_pairs(subject: Subject) -> list[tuple[str, str]]:
    """Return the pairs that can be combined; two sizes are none."""
    return pairs_of(text_parts(subject), SIZES.keys())


class TextCombinations(Combinations):
    """Texts of a decoder."""

    sizes = SIZES
    orders = ("the drafts' likeliest first", "the likeliest last", "by what options left of them")
    halves = (f"one of the first {EARLY} tokens", "a later token")

    def __init__(self, caller: Caller, rng: np.random.Generator, *, seed: int) -> None:
        super().__init__(caller, rng, seed=seed, pairs=text_pairs(caller.subject))

    def _round(self, chosen: set[str]) -> int:
        """Make one call; return its rows."""
        rng, subject = self._rng, self.caller.subject
        drafts, size = self._size(chosen, FEW_ROWS)
        written = int(rng.integers(FAR, FARTHEST + 1)) if "far" in chosen else 2 * drafts + 6
        if "far" not in chosen and rng.random() < SHORT:
            written = int(rng.integers(1, drafts + 2))
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
        flat: dict[str, Any] = {}
        if set(FILTERS) & chosen and process is None and rng.random() < FLAT_SHARE:
            most = self.caller.subject.max_vocabulary or FLAT_TOKENS
            tokens = min(most, FLAT_TOKENS) if "stop" not in chosen and "far" not in chosen else tokens
            flat = {"laws": FLAT, "slope": FLAT_SLOPE} if tokens == FLAT_TOKENS else {}
        ranked = ranked_instance(
            self._seed,
            vocabulary=tokens,
            draft_length=drafts,
            equal=equal_share(drafts),
            **flat,
            # Processing that forbids tokens could leave nothing of a row with zeros.
            forbidden=0.5 if process is None else 0.0,
        )
        instance = ranked.instance
        options: dict[str, Any] = {}
        if "d2t" in chosen:
            instance, options["d2t"] = narrowed(ranked, rng)
        if "seeds" in chosen:
            options["seeds"] = self.caller.row_seeds(size)
        if "samples" in chosen:
            options["samples"] = int(rng.integers(2, 4))
        if "eos" in chosen:
            options["eos"] = int(rng.integers(tokens))
        if "stop" in chosen:
            first, second = (int(token) for token in rng.permutation(tokens)[:2])
            options["stop"] = STOPS[int(rng.integers(len(STOPS)))](first, second)
        if "temperatures" in chosen:
            options["temperatures"] = self._temperatures(size)
        rows = np.concatenate([instance.target, instance.draft])
        return instance, options | self._filters(chosen, rows, most_kept=MOST_KEPT if flat else None)

    def _prompts(self, size: int, tokens: int, stop: tuple[tuple[int, ...], ...]) -> Integers:
        """Return prompts, of which none ends with a token that could begin a stop sequence."""
        low, high = PROMPTS[int(self._rng.choice(len(PROMPTS), p=PROMPT_SHARES))]
        prompts = self._rng.integers(0, tokens, size=(size, int(self._rng.integers(low, high))))
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
        with np.errstate(divide="ignore", invalid="ignore"):
            keys = (law / drawn, law, law / raw)
        self._add(chosen, law, texts[going], keys, np.nonzero(going)[1] >= EARLY, options.get("eos"))

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
