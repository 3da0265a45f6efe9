"""Steps, and rounds that draft themselves, under several options at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from specsim.support.arrays import Bools, Floats, Integers
from specsim.validation.conformance.calling import Caller
from specsim.validation.conformance.combinations import (
    LONG,
    MANY,
    Combinations,
    narrowed,
    pairs_of,
)
from specsim.validation.conformance.filters import FILTERS, filtered, of_draft
from specsim.validation.conformance.histories import NoMassError, law_rows
from specsim.validation.conformance.instances import Instance, inverse
from specsim.validation.conformance.probes import Models
from specsim.validation.conformance.ranked import RANKS, ranked_instance
from specsim.validation.conformance.sizes import STARTS, contexts_from, equal_share
from specsim.validation.conformance.subjects import Subject

#: Tokens of a wide vocabulary from here on, and at most; rows of a call where they are few.
WIDE, MOST_TOKENS, FEW_ROWS = 257, 2047, (4, 33)
#: Laws of the ranks on a wide vocabulary, whose last rank is all other tokens, and what each of these has of
#: the one before: filters cut among them. The largest top-k there.
WIDE_LAWS, WIDE_SLOPE, MOST_KEPT = ((56, 40, 32, 128), (32, 72, 40, 112)), 0.995, 200
#: What every subject can be given, besides its options.
SIZES = {
    "long": f"drafts of {LONG} and more",
    "many": f"{MANY} rows and more",
    "single": "calls of one to three rows",
    "wide": f"{WIDE} tokens and more",
}


def step_parts(subject: Subject) -> list[str]:
    """Return what can be combined: options, draft rows that are left out, and unusual sizes."""
    taken = [name for name in subject.options if name not in ("samples", "stop")]
    if subject.process is not None:
        # What processing leaves of a row may be at the edge of what a filter keeps.
        taken = [name for name in taken if name not in FILTERS or name == "temperature"]
        taken.append("process")
    if subject.draft == "never" or (subject.max_vocabulary or RANKS) < RANKS:
        taken = [name for name in taken if name != "d2t"]
    if subject.draft == "optional" and subject.protocol == "step":
        taken.append("no draft rows")
    sizes = (
        ("long", subject.max_draft_length, LONG),
        ("many", subject.max_batch, MANY),
        ("wide", subject.max_vocabulary, WIDE),
    )
    large = [name for name, most, least in sizes if most is None or most >= least]
    if subject.max_batch != 1:
        large.append("single")
    return sorted(taken) + large


def step_pairs(subject: Subject) -> list[tuple[str, str]]:
    """Return the pairs of parts that can be combined."""
    return pairs_of(step_parts(subject), SIZES.keys())


class StepCombinations(Combinations):
    """Steps, and rounds that draft themselves."""

    sizes = SIZES
    orders = ("the drafts' likeliest first", "those first that the options make less likely")
    halves = ("a token at a drafted place", "a bonus token")

    def __init__(self, caller: Caller, rng: np.random.Generator, *, seed: int) -> None:
        super().__init__(caller, rng, seed=seed, pairs=step_pairs(caller.subject))

    def _round(self, chosen: set[str]) -> int:
        rng, subject = self._rng, self.caller.subject
        drafts, size = self._size(chosen, FEW_ROWS)
        tokens = min(subject.max_vocabulary or RANKS, RANKS)
        if "wide" in chosen:
            # With a map, the rows of all contexts differ.
            widest = WIDE + 100 if "d2t" in chosen else MOST_TOKENS
            tokens = int(rng.integers(WIDE, min(subject.max_vocabulary or widest, widest) + 1))
        instance, options = self._setting(chosen, tokens, drafts, size)
        call = Call(
            subject, instance, options, rng.integers(0, 61, size=STARTS)[rng.integers(0, STARTS, size)]
        )
        try:
            if subject.protocol == "step":
                emitted, lengths, bonus = self._verified(call, chosen)
            else:
                models, which = call.models(self.caller)
                drafted, emitted, lengths = self.caller.draft_and_verify(
                    Models(self.caller, models, which, options.get("d2t")), options=options
                )
                counts = drafts if drafted is None else (drafted >= 0).sum(axis=1)
                bonus = lengths - 1 == counts
        except NoMassError:
            return size
        self._count(call, chosen, emitted, lengths, bonus)
        return size

    def _setting(
        self, chosen: set[str], tokens: int, drafts: int, size: int
    ) -> tuple[Instance, dict[str, Any]]:
        """Return rows and options on which every reading of the filters keeps the same tokens.

        Filters for which there are none are taken off what is chosen.
        """
        rng = self._rng
        wide: dict[str, Any] = {"laws": WIDE_LAWS, "slope": WIDE_SLOPE} if "wide" in chosen else {}
        ranked = ranked_instance(
            self._seed, vocabulary=tokens, draft_length=drafts, equal=equal_share(drafts), **wide
        )
        instance = ranked.instance
        # Rows of a kind differ by the order of their tokens alone, unless a draft lacks some.
        telling = np.unique(ranked.kinds, return_index=True)[1]
        options: dict[str, Any] = {}
        if "d2t" in chosen:
            instance, options["d2t"] = narrowed(ranked, rng)
        if "draft_lengths" in chosen:
            options["draft_lengths"] = rng.integers(0, drafts + 1, size=size)
        if "seeds" in chosen:
            options["seeds"] = self.caller.row_seeds(size)
        if "eos" in chosen:
            options["eos"] = int(rng.choice([0, tokens - 1, int(rng.integers(tokens))]))
        if "coins" in chosen:
            options["coins"] = rng.random((size, drafts + 1))
        if "noise" in chosen:
            options["noise"] = rng.random((size, drafts + 1, tokens))
        if "words" in chosen:
            options["words"] = rng.integers(2**32, size=(size, drafts + 1, tokens))
        if "temperatures" in chosen:
            options["temperatures"] = self._temperatures(size)
        rows = np.concatenate([instance.target[telling], instance.draft[telling]])
        return instance, options | self._filters(chosen, rows, most_kept=MOST_KEPT if wide else None)

    def _verified(self, call: Call, chosen: set[str]) -> tuple[Integers, Integers, Bools]:
        """Draw drafts and have them verified."""
        subject, instance = self.caller.subject, call.instance
        rowless = subject.draft == "never" or "no draft rows" in chosen
        size, drafts = len(call.starts), instance.draft_length
        drafted = np.empty((size, drafts), dtype=np.int64)
        for place in range(drafts):
            drawn, law, _ = call.laws(drafted[:, :place])
            if rowless:
                # Mostly the target's likeliest token, so that long drafts are accepted.
                drawn = 0.3 * drawn + 0.7 * np.eye(law.shape[1])[law.argmax(axis=1)]
            drafted[:, place] = inverse(drawn, self._rng.random(size))
        contexts = call.contexts(drafted)
        target, draft = instance.target[contexts], instance.draft[contexts[:, :-1]]
        counts = call.options.get("draft_lengths", np.full(size, drafts))
        after = np.arange(drafts) >= counts[:, None]
        target[:, 1:][after] = draft[after] = 1.0 / instance.vocabulary
        if "d2t" in call.options:
            draft = draft[..., call.options["d2t"]]
        emitted, lengths = self.caller.step(
            target, None if rowless else draft, np.where(after, -1, drafted), options=call.options
        )
        return emitted, lengths, lengths - 1 == counts

    def _count(
        self, call: Call, chosen: set[str], emitted: Integers, lengths: Integers, bonus: Bools
    ) -> None:
        for place in range(int(lengths.max())):
            here = np.flatnonzero(place < lengths)
            drawn, law, raw = (rows[here] for rows in call.laws(np.where(
                (place < lengths)[:, None], emitted[:, :place], 0
            )))  # fmt: skip
            with np.errstate(divide="ignore", invalid="ignore"):
                keys = (law / drawn, law / raw)
            last = bonus[here] & (place == lengths[here] - 1)
            self._add(chosen, law, emitted[here, place], keys, last, call.options.get("eos"))


class Call:
    """Rows and options of one call, and the laws of tokens under them.

    subject: which processes and filters rows.
    starts: the context in which the text of each row begins.
    """

    def __init__(
        self, subject: Subject, instance: Instance, options: Mapping[str, Any], starts: Integers
    ) -> None:
        self.subject, self.instance, self.options, self.starts = subject, instance, options, starts

    def contexts(self, tokens: Integers) -> Integers:
        """Return the contexts along texts: ``(rows, n)`` to ``(rows, n + 1)``."""
        return contexts_from(self.instance, self.starts, tokens)

    def models(self, caller: Caller) -> tuple[list[Instance], Integers]:
        """Return an instance for each start, and which of them each row has."""
        kinds, which = np.unique(self.starts, return_inverse=True)
        return [replace(self.instance, start=int(start)) for start in kinds], which

    def laws(self, before: Integers) -> tuple[Floats, Floats, Floats]:
        """Return the laws of the next draft and the next token after texts, and the target's own row.

        before: shape ``(rows, n)``.
        """
        context = self.contexts(before)[:, -1]
        draft, target = self.instance.draft[context], self.instance.target[context]
        drawn, law = np.empty(draft.shape), np.empty(target.shape)
        both = self.subject.filters == "both"
        for rows, filters in self._filters():
            law[rows] = law_rows(self.subject, before[rows], target[rows], filters)
            own = of_draft(filters, self.subject.filters)
            read = draft[rows]
            drawn[rows] = law_rows(self.subject, before[rows], read, own) if both else filtered(read, own)
        return drawn, law, target

    def _filters(self) -> Iterator[tuple[Bools, dict[str, Any]]]:
        filters = {name: self.options[name] for name in FILTERS if name in self.options}
        temperatures = self.options.get("temperatures")
        if temperatures is None:
            yield np.ones(len(self.starts), dtype=bool), filters
            return
        for value in np.unique(temperatures):
            yield temperatures == value, {"temperature": float(value), **filters}
