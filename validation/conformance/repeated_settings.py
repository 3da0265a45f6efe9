"""Calls on rows that are always the same, for repeated draws: with options, at sizes, tests of drafts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from specsim.support.arrays import Bools, Floats, Integers
from specsim.validation.conformance.calling import Caller
from specsim.validation.conformance.combinations import clear
from specsim.validation.conformance.filters import FILTERS, filtered
from specsim.validation.conformance.instances import Instance, padded
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.probes import Models
from specsim.validation.conformance.repeated_draws import Draws
from specsim.validation.conformance.subjects import Subject

#: Rows of a call, and where texts are long; tokens of the vocabulary, and of tests or in a type of 8 bits of
#: precision; drafted tokens of a step; tokens of a text.
ROWS, FEW_ROWS, TOKENS, FEW_TOKENS, DRAFTS, WRITTEN = 8, 4, 256, 16, 2, 9
#: Unusual sizes: rows, drafted tokens, tokens of the vocabulary, tokens of a text.
WIDE = "2,048 tokens"
LONG = "drafts of 16"
SIZES = {"many rows": 130, LONG: 16, WIDE: 2048, "texts of 150 tokens": 150}
#: Types of 16 bits.
NARROW = ("float16", "bfloat16")
#: Rows of calls in which tests are looked at; of a decoder, whose rows have one at every place, or two.
TESTED, TESTED_TEXTS, TESTED_TWICE = 64, 16, 32
#: Children of the root of a tree, each of which begins a chain of so many nodes.
CHILDREN, LEVELS = 8, 4
#: Where filters are given, a token's probability at the temperature divided by that of the next likelier one;
#: the same of few.
SLOPE, SLOPE_OF_FEW = 0.99, 0.9
#: The temperature of few tokens: rows that it changes no more than this can be told in a narrow type.
TEMPERATURE_OF_FEW = 0.7
#: Values of the options that have one.
VALUES: dict[str, Any] = {"temperature": 0.1, "top_k": 100, "top_p": 0.8, "min_p": 0.3, "typical_p": 0.8}
#: Temperatures of rows.
TEMPERATURES = (0.7, 1.0, 1.5)
#: Options that are tried, each alone.
ALONE = (*VALUES, "temperatures", "draft_lengths", "seeds", "eos", "samples", "d2t", "no draft rows")


def options_of(subject: Subject) -> tuple[str, ...]:
    """Return the options that are tried, each alone and all together."""
    taken = set(subject.options)
    if subject.protocol == "tree":
        return ()
    if subject.protocol != "decoder":
        taken -= {"samples"}
    if subject.draft == "never":
        taken -= {"d2t"}
    elif subject.draft == "optional" and subject.protocol == "step":
        taken |= {"no draft rows"}
    return tuple(name for name in ALONE if name in taken)


def long_drafts(subject: Subject) -> bool:
    """Return whether drafts may be longer than the usual ones."""
    return subject.protocol != "tree" and (subject.max_draft_length or SIZES[LONG]) > DRAFTS


def sizes_of(subject: Subject) -> tuple[str, ...]:
    """Return the unusual sizes that are tried."""
    found = ["many rows"] if (subject.max_batch or SIZES["many rows"]) > ROWS else []
    if subject.protocol == "decoder":
        return (*found, "texts of 150 tokens")
    if subject.protocol == "tree":
        return tuple(found)
    if long_drafts(subject):
        found.append(LONG)
    if (subject.max_vocabulary or SIZES[WIDE]) > TOKENS:
        found.append(WIDE)
    return tuple(found)


def two_places(rng: np.random.Generator, counts: Integers) -> Integers:
    """Return two rising places of each draft, ``(n, 2)``, at any distance; of one token, twice its own."""
    distance = rng.integers(np.minimum(1, counts - 1), counts)
    first = rng.integers(0, counts - distance)
    return np.stack([first, first + distance], axis=1)


class Setting:
    """The calls with some options.

    names: of the options. Filters are left out if two readings of one would keep other tokens.
    sizes: which are unusual.
    tests: whether tests of drafts are looked at. A draw is then 1 if it is the drafted token, which has half
        of the row, and 0 otherwise.
    dtype: of the rows of a step. None: the first of the subject's.
    size: rows of a call.
    tokens: of the vocabulary.
    """

    def __init__(
        self,
        lab: Laboratory,
        caller: Caller,
        names: Sequence[str] = (),
        sizes: Sequence[str] = (),
        *,
        tests: bool = False,
        dtype: str | None = None,
    ) -> None:
        subject, self.dtype = lab.subject, dtype or lab.subject.dtypes[0]
        self._lab, self._caller, self.sizes, self.tests = lab, caller, tuple(sizes), tests
        self._calls = 0
        rows, drafts, tokens, self._written = (
            SIZES[name] if name in sizes else usual
            for name, usual in zip(SIZES, (ROWS, lab.draft_length, TOKENS, WRITTEN), strict=True)
        )
        if "texts of 150 tokens" in sizes:
            rows = FEW_ROWS
        if tests:
            rows = TESTED
            if subject.protocol == "decoder":
                rows = TESTED_TWICE if LONG in sizes else TESTED_TEXTS
        self.size = min(subject.max_batch or rows, rows)
        if subject.protocol == "step" and LONG not in sizes:
            drafts = DRAFTS
        self._drafts = min(subject.max_draft_length or drafts, drafts)
        if LONG in sizes:
            self._written = self._drafts + 1
        # The rows of a wide vocabulary are uniform, which every type can tell.
        narrow = (subject.dtypes[0] == "bfloat16" and WIDE not in sizes) or tests
        self.tokens = min(subject.max_vocabulary or tokens, FEW_TOKENS if narrow else tokens)
        rng = np.random.default_rng(lab.instance_seed)
        self._temperatures = TEMPERATURES if "temperatures" in names else (1.0,)
        self._filters = {name: value for name, value in VALUES.items() if name in names}
        if "top_k" in names:
            self._filters["top_k"] = max(1, self.tokens * 2 // 5)
        if "temperatures" in names:
            self._filters.pop("temperature", None)
        if narrow and "temperature" in self._filters:
            self._filters["temperature"] = TEMPERATURE_OF_FEW
        slope = SLOPE_OF_FEW if narrow else SLOPE ** self._filters.get("temperature", 1.0)
        row: Floats = np.asarray(slope) ** rng.permutation(self.tokens)
        self._row = row / row.sum()
        rows_given = self._rows(np.zeros(1, dtype=np.int64))
        if not all(clear(rows_given, self._at(value)) for value in self._temperatures):
            self._filters = {}
        if not self._filters:
            self._row = np.full(self.tokens, 1 / self.tokens)
        self.names = tuple(name for name in names if name not in FILTERS or name in self._filters)
        self._fixed: dict[str, Any] = dict(self._filters)
        if "eos" in names:
            self._fixed["eos"] = 1
        if "samples" in names:
            self._fixed["samples"] = 2
        if "d2t" in names:
            others = 1 + rng.permutation(self.tokens - 1)
            self._fixed["d2t"] = np.sort([0, *others[: max(1, self.tokens * 3 // 4)]])

    @property
    def few_places(self) -> bool:
        """Whether one token of each row is drawn, or two."""
        return self._lab.subject.protocol in ("step", "tree") or self._twice

    @property
    def _twice(self) -> bool:
        """Whether each row has two tests: coins of late places are seen only if all tests before succeed."""
        return self.tests and LONG in self.sizes

    @property
    def by_row(self) -> bool:
        """Whether each row has a seed, by which draws are compared."""
        return "seeds" in self.names

    @property
    def words(self) -> str:
        """What is unusual, for reports."""
        other = self.dtype != self._lab.subject.dtypes[0]
        kind = [f"rows of {self.dtype}"] if other else []
        return ", ".join([*(["tests of drafts"] if self.tests else []), *self.names, *self.sizes, *kind])

    def draws(self) -> Draws:
        """Return what makes one call."""
        protocols = {"step": self._verified, "tree": self._walked}
        return protocols.get(self._lab.subject.protocol, self._written_or_drafted)

    def _at(self, temperature: float) -> dict[str, Any]:
        return {"temperature": temperature, **self._filters}

    def _rows(self, drafted: Integers) -> Floats:
        """Return the rows from which is drawn, given the tokens that are tested: ``(n,)`` to ``(n, V)``."""
        rows = np.tile(self._row, (len(drafted), 1))
        return 0.5 * (rows + self._certain(drafted)) if self.tests else rows

    def _certain(self, tokens: Integers) -> Floats:
        """Return rows that have one token each: ``(...)`` to ``(..., V)``."""
        return np.asarray(tokens[..., None] == np.arange(self.tokens), dtype=np.float64)

    def _call(self, seeds: Integers) -> tuple[np.random.Generator, dict[str, Any], Floats, dict[str, Any]]:
        """Return random numbers, options, the temperature of each row, and the seed of a call."""
        rng = np.random.default_rng([self._lab.instance_seed, *seeds.tolist()])
        options = dict(self._fixed)
        temperatures = rng.choice(self._temperatures, size=len(seeds) if self.by_row else self.size)
        if self.by_row:
            options["seeds"] = seeds
        if "temperatures" in self.names:
            options["temperatures"] = temperatures
        # Where rows have seeds, that of the call must not matter.
        self._calls += 1
        return rng, options, temperatures, {"seed": self._calls if self.by_row else int(seeds[0])}

    def _seen(self, emitted: Integers, drafted: Integers, temperatures: Floats) -> tuple[Integers, Floats]:
        """Return draws and the probability of each.

        emitted: tokens, ``(n,)``.
        drafted: the tokens that were tested, ``(n,)``.
        """
        rows, laws = self._rows(drafted), np.empty((len(emitted), self.tokens))
        for value in np.unique(temperatures):
            laws[temperatures == value] = filtered(rows[temperatures == value], self._at(float(value)))
        every = np.arange(len(emitted))
        if not self.tests:
            return emitted, laws[every, emitted]
        accepted, mass = emitted == drafted, laws[every, drafted]
        return accepted.astype(np.int64), np.where(accepted, mass, 1 - mass)

    def _written_or_drafted(self, seeds: Integers) -> tuple[Integers, Floats]:
        """Call a decoder, or a round that drafts itself."""
        caller = self._caller
        rng, options, temperatures, seed = self._call(seeds)
        d2t = options.get("d2t")
        size = len(temperatures)
        if self._twice:
            models, begin, tested = self._tested_twice(rng)
            which = rng.integers(self.tokens, size=size)
            kinds = [replace(models, start=int(start)) for start in begin]
        else:
            models, which = self._constant(d2t), np.zeros(size, dtype=np.int64)
            kinds = [models]
        if self._lab.subject.protocol == "decoder":
            from specsim.validation.conformance.checks.decoder import DecoderModels

            prompts = np.zeros((size, 3), dtype=np.int64)
            prompts[:, -1] = which
            emitted, _ = caller.decode(
                DecoderModels(caller, models, d2t), prompts, self._written, options=options, **seed
            )
            temperatures = np.repeat(temperatures, options.get("samples", 1))
            there = emitted >= 0
        else:
            _, emitted, lengths = caller.draft_and_verify(
                Models(caller, kinds, which, d2t), options=options, **seed
            )
            there = np.arange(emitted.shape[1]) < lengths[:, None]
        if self._twice:
            before = np.cumsum(emitted != 0, axis=1) - (emitted != 0)
            there &= tested[which, : emitted.shape[1]] & (before == 0)
        found, masses = np.zeros(emitted.shape, dtype=np.int64), np.zeros(emitted.shape)
        row = np.nonzero(there)[0]
        found[there], masses[there] = self._seen(
            emitted[there], np.zeros(len(row), dtype=np.int64), temperatures[row]
        )
        if self.by_row:
            # The samples of a request have places after each other.
            return found.reshape(size, -1), masses.reshape(size, -1)
        return found, masses

    def _constant(self, d2t: Integers | None) -> Instance:
        """Return models whose rows are always the same."""
        target = self._rows(np.zeros(1, dtype=np.int64))
        draft = self._certain(np.zeros(1, dtype=np.int64)) if self.tests else target.copy()
        if d2t is not None:
            draft[:, np.setdiff1d(np.arange(self.tokens), d2t)] = 0.0
        return Instance(
            name="constant rows",
            target=target,
            draft=draft / draft.sum(),
            next_context=np.zeros((1, self.tokens), dtype=np.int64),
            start=0,
            draft_length=self._drafts,
        )

    def _tested_twice(self, rng: np.random.Generator) -> tuple[Instance, Integers, Bools]:
        """Return models of texts of token 0 with two tests each, where they begin, and where the tests are.

        The last of three tokens of a prompt decides which text follows. Behind another token no test is made.
        """
        long = self._drafts + 1
        places = two_places(rng, np.full(self.tokens, self._drafts))
        tested = (np.arange(long) == places[..., None]).any(axis=1)
        # Contexts: in the prompt, by text and place, and at the end.
        begin, end = 3 + long * np.arange(self.tokens), 3 + tested.size
        following = np.full((end + 1, self.tokens), end)
        following[0], following[1], following[2] = 1, 2, begin
        inside = begin[:, None] + np.arange(self._drafts)
        following[inside, 0] = inside + 1
        draft = self._certain(np.zeros(end + 1, dtype=np.int64))
        target = draft.copy()
        target[3:end][tested.ravel()] = self._rows(np.zeros(1, dtype=np.int64))
        models = Instance(
            name="two tests",
            target=target,
            draft=draft,
            next_context=following,
            start=0,
            draft_length=self._drafts,
        )
        return models, begin, tested

    def _verified(self, seeds: Integers) -> tuple[Integers, Floats]:
        """Call a step whose drafts are certain, and accepted up to a place where the token is drawn."""
        rng, options, temperatures, seed = self._call(seeds)
        subject, size, drafts = self._lab.subject, len(temperatures), self._drafts
        every, counts = np.arange(size), np.full(size, drafts)
        if "draft_lengths" in self.names:
            counts = options["draft_lengths"] = rng.integers(int(self.tests), drafts + 1, size=size)
        places = rng.integers(0, counts if self.tests else counts + 1)[:, None]
        if self._twice:
            places = two_places(rng, counts)
        # An accepted end of text would end the row before its place.
        ids = np.setdiff1d(options.get("d2t", np.arange(self.tokens)), [options.get("eos", -1)])
        drafted = rng.choice(ids, size=(size, drafts))
        tested = [drafted[every, np.minimum(place, drafts - 1)] for place in places.T]
        draft = self._certain(drafted)
        target = np.concatenate([draft, np.tile(self._row, (size, 1, 1))], axis=1)
        for place, token in zip(places.T, tested, strict=True):
            target[every, place] = self._rows(token)
        drafted, target, draft = padded(counts, drafted, target, draft)
        if "d2t" in options:
            draft = draft[..., options["d2t"]]
        rowless = subject.draft == "never" or "no draft rows" in self.names
        emitted, lengths = self._caller.step(
            target, None if rowless else draft, drafted, options=options, dtype=self.dtype, **seed
        )
        found, masses = np.zeros((2, size, drafts + 1))
        for place, token in zip(places.T, tested, strict=True):
            at = self._at_place(emitted, lengths, place, place, token, temperatures, drafts + 1)
            found, masses = np.maximum(found, at[0]), np.maximum(masses, at[1])
        return found.astype(np.int64), masses

    def _walked(self, seeds: Integers) -> tuple[Integers, Floats]:
        """Call a tree of chains in which the token is drawn at one node; places are the numbers of nodes.

        The target allows nothing but the path to the node. A node below the root has one child at most, whose
        draft is certain, so that no token is both drafted and drawn.
        """
        rng, _, temperatures, seed = self._call(seeds)
        size = len(temperatures)
        # Children of one node are different tokens; only the last child of a greedy draft is random.
        children = 1 if self._lab.subject.drawing == "greedy" else min(CHILDREN, self.tokens)
        parents = np.array([-1, *np.repeat(0, children), *range(1, children * (LEVELS - 1) + 1)])
        inner = np.arange(1, children * (LEVELS - 1) + 1)
        nodes = np.full((size, len(parents)), -1)
        nodes[:, 1 : children + 1] = np.argsort(rng.random((size, self.tokens)), axis=1)[:, :children]
        nodes[:, children + 1 :] = rng.integers(0, self.tokens, size=(size, len(inner)))
        draft = np.full((size, len(parents), self.tokens), 1 / self.tokens)
        draft[:, inner] = self._certain(nodes[:, inner + children])
        if children == 1:
            draft[:, 0] = self._certain(nodes[:, 1])
        node = rng.integers(1, len(inner) + 1 if self.tests else len(parents), size=size)
        every, tested = np.arange(size), nodes[np.arange(size), np.minimum(node + children, len(parents) - 1)]
        target = np.tile(self._row, (size, len(parents), 1))
        target[every, node] = self._rows(tested)
        above, depth = node.copy(), np.zeros(size, dtype=np.int64)
        while (above > 0).any():
            on = np.flatnonzero(above > 0)
            target[on, parents[above[on]]] = self._certain(nodes[on, above[on]])
            above[on] = parents[above[on]]
            depth[on] += 1
        emitted, lengths = self._caller.tree(parents, target, draft, nodes, **seed)
        return self._at_place(emitted, lengths, depth, node, tested, temperatures, len(parents))

    def _at_place(
        self,
        emitted: Integers,
        lengths: Integers,
        position: Integers,
        place: Integers,
        tested: Integers,
        temperatures: Floats,
        places: int,
    ) -> tuple[Integers, Floats]:
        """Return the draw of each row in a table of all places, and its probability, 0 where there is none.

        position: of the token in what the row emitted.
        place: in the table, whose shape is ``(rows, places)``.
        """
        every = np.arange(len(emitted))
        token = emitted[every, np.minimum(position, emitted.shape[1] - 1)]
        there = position < lengths
        found, mass = self._seen(np.where(there, token, 0), tested, temperatures)
        at = np.arange(places) == place[:, None]
        return np.where(at, found[:, None], 0), np.where(at, np.where(there, mass, 0.0)[:, None], 0.0)
