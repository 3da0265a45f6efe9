"""Texts of decoders whose law depends on all that was written: processing, filters, ends."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.calling import Caller
from specsim.validation.conformance.checks.base import Look, make_look
from specsim.validation.conformance.checks.decoder import DecoderModels
from specsim.validation.conformance.combinations import BINS, cells_of
from specsim.validation.conformance.evidence import Evidence
from specsim.validation.conformance.filters import FILTERS
from specsim.validation.conformance.histories import absorbed, ended, law_rows
from specsim.validation.conformance.instances import Instance, digits, number
from specsim.validation.conformance.probes import LARGEST_BATCH, spelled
from specsim.validation.conformance.tables import text_partitions

#: Tokens whose joint law is counted.
LENGTH = 3
#: How the tokens of a row are ordered before they are laid into cells.
ORDERS = ("by what processing left of them", "by how much likelier than drafted", "by id")


class TextProbe:
    """Texts of a decoder with options, under a law of the next token that depends on the whole text.

    Rows differ by text, so that tokens at later positions are counted as probability integrals: the tokens of
    the row are ordered, each takes an interval as long as its probability, and a place in the emitted token's
    interval, drawn anew, is uniform on [0, 1) when the token has the row's law, whatever was written before.

    caller, rng: how the subject is called; where places are drawn.
    instance, prompts: the models, and the prompts ``(prompts, length)``.
    new_tokens: tokens of a text, unless it ends before.
    options: given to the subject.
    row_options: options that are given per row, as the value of each prompt.
    texts: counts of the first `LENGTH` tokens, shape ``(prompts, V ** LENGTH)``.
    places: counts, shape ``(orders, new_tokens, BINS + 1)``; in the last cell the tokens of no probability.
    total: texts so far.
    """

    def __init__(
        self,
        caller: Caller,
        rng: np.random.Generator,
        instance: Instance,
        prompts: Integers,
        *,
        new_tokens: int,
        options: Mapping[str, Any] | None = None,
        row_options: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        self.caller, self.rng, self.instance, self.prompts = caller, rng, instance, prompts
        self.new_tokens = new_tokens
        self.options, self.row_options = dict(options or {}), dict(row_options or {})
        self.models = DecoderModels(caller, instance, self.options.get("d2t"))
        self.eos, self.stop = self.options.get("eos"), self.options.get("stop", ())
        #: Stands after the end of a text.
        self.filler = 0 if self.eos is None else int(self.eos)
        self.texts = np.zeros((len(prompts), instance.vocabulary**LENGTH), dtype=np.int64)
        self.places = np.zeros((len(ORDERS), new_tokens, BINS + 1), dtype=np.int64)
        self.total = 0

    def rows(self, prompt: int, texts: Integers) -> Floats:
        """Return the law of the next token after texts ``(n, length)`` that follow one prompt."""
        options = {**self.options}
        options |= {name.removesuffix("s"): values[prompt] for name, values in self.row_options.items()}
        filters = {name: options[name] for name in FILTERS if options.get(name) is not None}
        whole = np.concatenate([np.repeat(self.prompts[[prompt]], len(texts), axis=0), texts], axis=1)
        raw = self.instance.target[self.instance.contexts(whole)[:, -1]]
        over = ended(texts, eos=self.eos, stop=self.stop)
        # Processing need not know what to do after the end of a text.
        found = np.empty(raw.shape)
        found[~over] = law_rows(self.caller.subject, whole[~over], raw[~over], filters)
        return absorbed(found, over, self.filler) if over.any() else found

    def law(self, prompt: int, length: int = LENGTH) -> Floats:
        """Return the law of the first tokens after a prompt, shape ``(V ** length,)``."""
        vocabulary = self.instance.vocabulary
        law = np.ones(1)
        for n in range(length):
            texts = digits(np.arange(vocabulary**n), vocabulary, n)
            law = (law[:, None] * self.rows(prompt, texts)).ravel()
        return law

    def sample(self, count: int) -> None:
        """Decode about `count` more texts."""
        wanted = self.total + count
        limit = min(self.caller.subject.max_batch or 512, LARGEST_BATCH)
        while self.total < wanted and not self.caller.out_of_time():
            size = min(limit, wanted - self.total)
            which = (self.total + np.arange(size)) % len(self.prompts)
            rows = {name: np.asarray(values)[which] for name, values in self.row_options.items()}
            options = {**self.options, **rows}
            if "seeds" in options:
                options["seeds"] = self.caller.row_seeds(size)
            written, _ = self.caller.decode(
                self.models, self.prompts[which], self.new_tokens, options=options
            )
            which = np.repeat(which, options.get("samples", 1))
            tokens = np.where(written < 0, self.filler, written)
            np.add.at(self.texts, (which, number(tokens[:, :LENGTH], self.instance.vocabulary)), 1)
            for prompt in np.unique(which):
                self._place(int(prompt), tokens[which == prompt])
            self.total += size

    def _place(self, prompt: int, texts: Integers) -> None:
        """Count where in the row's law each token lies."""
        instance = self.instance
        for position in range(self.new_tokens):
            before = texts[:, :position]
            law, token = self.rows(prompt, before), texts[:, position]
            # Where only one token is possible there is nothing to learn but that it is the one.
            free = (law.max(axis=1) < 1 - 1e-12) | (law[np.arange(len(law)), token] <= 0)
            whole = np.concatenate([np.repeat(self.prompts[[prompt]], len(texts), axis=0), before], axis=1)
            context = instance.contexts(whole)[free, -1]
            law, token = law[free], token[free]
            with np.errstate(divide="ignore", invalid="ignore"):
                ratios = (law / instance.target[context], law / instance.draft[context])
            keys = (*ratios, np.broadcast_to(np.arange(law.shape[1]), law.shape))
            for order, key in enumerate(keys):
                cell = cells_of(law, token, np.nan_to_num(key, nan=0.0), self.rng)
                np.add.at(self.places[order, position], cell, 1)

    def looks(
        self, *, tolerance: float, more: Mapping[str, Callable[[int], Floats]] | None = None, prefix: str = ""
    ) -> list[Look]:
        """Return the looks: the joint law of the first tokens by prompt, and the places of all.

        more: alternatives to the joint law, of the number of a prompt.
        prefix: put before the names of cells.
        """
        vocabulary, prompts = self.instance.vocabulary, len(self.prompts)
        laws = np.stack([self.law(prompt) for prompt in range(prompts)])
        alternatives = {
            name: np.stack([law(prompt) for prompt in range(prompts)]) / prompts
            for name, law in (more or {}).items()
        }
        joint = make_look(
            lambda table: table,
            laws / prompts,
            alternatives,
            lambda: self.texts,
            lambda stratum, cell: (
                f"{prefix}prompt {_spell(self.prompts[stratum])}: text {spelled(cell, vocabulary, LENGTH)}"
            ),
            partitions=text_partitions(vocabulary, LENGTH),
            tolerance=tolerance,
        )
        return [joint, *(self._places_look(order, tolerance, prefix) for order in range(len(ORDERS)))]

    def _places_look(self, order: int, tolerance: float, prefix: str) -> Look:
        null = np.zeros((self.new_tokens, BINS + 1))
        null[:, :BINS] = 1 / BINS
        slope = np.zeros(BINS + 1)
        slope[:BINS] = np.linspace(-1, 1, BINS)
        alternatives = {
            f"{words} tokens {ORDERS[order]}, {weight:g}": null * (1 + weight * sign * slope)
            for words, sign in (("low", -1), ("high", 1))
            for weight in (0.1, 0.4, 0.9)
        }
        return Look(
            evidence=Evidence(null, alternatives=alternatives, tolerance=tolerance),
            observe=lambda: self.places[order],
            shares=np.ones(self.new_tokens),
            reachable=np.ones(self.new_tokens, dtype=bool),
            name_cell=lambda stratum, cell: (
                f"{prefix}token {stratum + 1} has no probability after its text"
                if cell == BINS
                else f"{prefix}token {stratum + 1} in eighth {cell + 1} of its row, {ORDERS[order]}"
            ),
        )


def _spell(tokens: Integers) -> str:
    return "(" + " ".join(str(int(token)) for token in tokens) + ")"
