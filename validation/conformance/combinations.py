"""Experiments under several options at once, drawn anew for every call, on ranked rows.

Which law a token has then differs from call to call, row to row and place to place. So its place is counted:
the tokens of its row are ordered, each takes an interval as long as its probability, and a point drawn in the
emitted token's interval is uniform on [0, 1), whatever the options are and whatever was written before.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from specsim.support.arrays import Bools, Floats, Integers
from specsim.validation.conformance.calling import Caller
from specsim.validation.conformance.checks.base import Look
from specsim.validation.conformance.evidence import Evidence
from specsim.validation.conformance.filters import FILTERS, filtered, of_draft, untypical
from specsim.validation.conformance.histories import NoMassError, law_rows
from specsim.validation.conformance.instances import Instance, inverse
from specsim.validation.conformance.probes import Models
from specsim.validation.conformance.ranked import RANKS, Ranked, ranked_instance
from specsim.validation.conformance.sizes import STARTS, contexts_from, equal_share
from specsim.validation.conformance.subjects import Subject

#: Values of the filters, from one to the other; of top-k, each of these. Calls on whose rows another reading
#: of a filter would keep other tokens are not made.
VALUES: dict[str, tuple[float, float]] = {
    "temperature": (0.2, 2.5),
    "top_k": (1, 3),
    "top_p": (0.2, 0.97),
    "min_p": (0.02, 0.7),
    "typical_p": (0.2, 0.95),
}
#: Of rows that have one of their own.
TEMPERATURES = (0.0, 0.2, 0.7, 1.0, 1.5, 2.0)
#: Cells of equal probability.
BINS = 8
#: How the tokens of a row are ordered before they are laid into cells.
ORDERS = ("the drafts' likeliest first", "those first that the options make less likely")
#: Least distance from what another reading would keep.
CLEAR = 1e-3
#: Share of the calls that have an option which is not the one that they are made for.
SHARE = 0.25
#: Sizes that are large: drafted tokens from here on, rows, tokens of a vocabulary.
LONG, MANY, WIDE = 9, 65, 257
MOST_DRAFTS, MOST_ROWS, MOST_TOKENS = 16, 300, 2047
FEW_ROWS = (4, 33)
#: What every subject can be given, besides its options.
SIZES = {
    "long": f"drafts of {LONG} and more",
    "many": f"{MANY} rows and more",
    "wide": f"{WIDE} tokens and more",
}
#: Options that shut each other out.
APART = (
    frozenset({"temperature", "temperatures"}),
    frozenset({"no draft rows", "d2t"}),
    frozenset({"noise", "words"}),
)


def parts_of(subject: Subject) -> list[str]:
    """Return what can be combined: options, draft rows that are left out, and large sizes."""
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
    return sorted(taken) + large


def pairs_of(parts: list[str]) -> list[tuple[str, str]]:
    """Return the pairs that can be combined; a size is in none with another size."""
    return [
        pair
        for pair in itertools.combinations(parts, 2)
        if not set(pair) <= set(SIZES) and frozenset(pair) not in APART
    ]


class StepCombinations:
    """Steps, and rounds that draft themselves.

    pairs: of parts; each call is made for the pair that has fewest rows.
    counts: shape ``(orders, 2 * pairs, BINS + 1)``: by order, by pair, and whether the token was a bonus
        token; in the last cell the tokens of no probability.
    total: rows so far.
    """

    def __init__(self, caller: Caller, rng: np.random.Generator, *, seed: int) -> None:
        self.caller, self._rng, self._seed = caller, rng, seed
        self.pairs = pairs_of(parts_of(caller.subject))
        self._parts = sorted({part for pair in self.pairs for part in pair})
        self._filled = np.zeros(len(self.pairs), dtype=np.int64)
        self.counts = np.zeros((len(ORDERS), 2 * len(self.pairs), BINS + 1), dtype=np.int64)
        self.total = 0

    def sample(self, count: int) -> None:
        """Observe about `count` more rows."""
        wanted = self.total + count
        while self.total < wanted and not self.caller.out_of_time():
            turn = int(self._filled.argmin())
            chosen = self._chosen(self.pairs[turn])
            rows = self._round(chosen)
            # A pair for which there are no rows has had its turn, too.
            held = [number == turn or set(pair) <= chosen for number, pair in enumerate(self.pairs)]
            self._filled += np.where(held, rows, 0)
            self.total += rows

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
        rng, subject = self._rng, self.caller.subject
        most = min(subject.max_draft_length or MOST_DRAFTS, MOST_DRAFTS)
        drafts = (
            int(rng.integers(LONG, most + 1)) if "long" in chosen else int(rng.integers(1, min(4, most) + 1))
        )
        limit = min(subject.max_batch or MOST_ROWS, MOST_ROWS)
        size = int(rng.integers(MANY, limit + 1)) if "many" in chosen else int(rng.integers(*FEW_ROWS))
        size = min(size, limit)
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
        ranked = ranked_instance(
            self._seed, vocabulary=tokens, draft_length=drafts, equal=equal_share(drafts)
        )
        instance = ranked.instance
        # Rows of a kind differ by the order of their tokens alone, unless a draft lacks some.
        telling = np.unique(ranked.kinds, return_index=True)[1]
        options: dict[str, Any] = {}
        if "d2t" in chosen:
            instance, options["d2t"] = _narrowed(ranked, rng)
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
            least = 0 if self.caller.subject.process is None else 1
            options["temperatures"] = rng.choice(TEMPERATURES[least:], size=size)
        names = [name for name in FILTERS if name in chosen]
        if "d2t" in chosen:
            telling = np.arange(len(ranked.kinds))
        rows = np.concatenate([instance.target[telling], instance.draft[telling]])
        temperatures = TEMPERATURES[1:] if "temperatures" in chosen else (1.0,)
        for _ in range(50):
            filters = {name: _value(name, rng) for name in names}
            if all(_clear(rows, {"temperature": value, **filters}) for value in temperatures):
                return instance, options | filters
        chosen -= set(names)
        return instance, options

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
        levels = [number for number, pair in enumerate(self.pairs) if set(pair) <= chosen]
        for place in range(int(lengths.max())):
            here = place < lengths
            drawn, law, raw = call.laws(np.where(here[:, None], emitted[:, :place], 0))
            token = np.where(here, emitted[:, place], 0)
            mass = law[np.arange(len(law)), token]
            # Where one token alone is possible there is nothing to learn but that it is the one.
            counted = here & ((law.max(axis=1) < 1 - 1e-12) | (mass <= 0))
            last = bonus & (place == lengths - 1)
            with np.errstate(divide="ignore", invalid="ignore"):
                keys = (law / drawn, law / raw)
            for order, key in enumerate(keys):
                # Where both are alike, the likelier ones first.
                cells = _cells(law, token, np.nan_to_num(key, nan=-1.0) - 1e-6 * law, self._rng)
                for half in (0, 1):
                    table = np.bincount(cells[counted & (last == half)], minlength=BINS + 1)
                    self.counts[order, [2 * level + half for level in levels]] += table

    def looks(self, tolerance: float) -> list[Look]:
        """Return what is looked at: places of tokens by pair of options, for each order."""
        return [
            places_look(self.counts[order], self._words(), words, tolerance)
            for order, words in enumerate(ORDERS)
        ]

    def _words(self) -> list[str]:
        found = []
        for pair in self.pairs:
            words = " and ".join(SIZES.get(part, part) for part in pair)
            found += [f"{words}: a token at a drafted place", f"{words}: a bonus token"]
        return found


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


def _narrowed(ranked: Ranked, rng: np.random.Generator) -> tuple[Instance, Integers]:
    """Return rows whose draft lacks some tokens in all contexts, and the ids that it has.

    Equal rows stay equal, so that long drafts are accepted.
    """
    instance = ranked.instance
    ids = np.flatnonzero(rng.permutation(instance.vocabulary) >= max(1, instance.vocabulary // 4))
    draft = np.zeros_like(instance.draft)
    draft[:, ids] = instance.draft[:, ids]
    draft /= draft.sum(axis=1, keepdims=True)
    target = np.where(ranked.kinds[:, None] == 0, draft, instance.target)
    return replace(instance, target=target, draft=draft), ids


def _value(name: str, rng: np.random.Generator) -> float:
    low, high = VALUES[name]
    if name == "temperature":
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return int(rng.integers(int(low), int(high) + 1)) if name == "top_k" else float(rng.uniform(low, high))


def _clear(rows: Floats, filters: Mapping[str, Any]) -> bool:
    """Return whether no row is at the edge of what a filter keeps, each after those before it."""
    for name, change in FILTERS.items():
        if name not in filters:
            continue
        value = filters[name]
        # What a filter keeps in order: by falling probability, or by rising distance from typical surprise.
        scores = np.nan_to_num(untypical(rows), nan=np.inf) if name == "typical_p" else -rows
        order = np.argsort(scores, axis=1, kind="stable")
        ranked, sums = np.take_along_axis(rows, order, axis=1), None
        if name == "min_p" and (np.abs(rows / rows.max(axis=1, keepdims=True) - value) < CLEAR).any():
            return False
        if name in ("top_p", "typical_p"):
            sums = np.cumsum(ranked, axis=1)
            if (np.abs(sums - value) < CLEAR).any():
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
            if (dropped & ~(after - before > CLEAR)).any():
                return False
            # More than k are kept where they tie.
            if name == "top_k" and (last > value).any():
                return False
        rows = kept
    return True


def _cells(law: Floats, token: Integers, key: Floats, rng: np.random.Generator) -> Integers:
    """Return the cell of each token in the order of a key; `BINS` for a token of no probability."""
    order = np.argsort(key, axis=1, kind="stable")
    masses = np.take_along_axis(law, order, axis=1)
    rank = (order == token[:, None]).argmax(axis=1)
    at = np.arange(len(law))
    begin = (np.cumsum(masses, axis=1) - masses)[at, rank]
    place = begin + rng.random(len(law)) * masses[at, rank]
    cell = np.minimum((place * BINS).astype(np.int64), BINS - 1)
    return np.where(law[at, token] > 0, cell, BINS)


def places_look(counts: Integers, words: list[str], order: str, tolerance: float) -> Look:
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
