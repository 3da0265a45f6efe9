"""Checks of whole decoders: the law of their texts, every next token given its context, prompts, rounds."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from specsim.errors import InputError
from specsim.pairs import ModelPair
from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.calling import Caller, NotApplicable
from specsim.validation.conformance.checks.base import (
    Look,
    Statistical,
    check,
    law_picture,
    lossless_only,
    make_look,
    needs_rule,
    together,
)
from specsim.validation.conformance.evidence import samples_for_bound
from specsim.validation.conformance.instances import Instance, digits, number
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.probes import LARGEST_BATCH, spelled
from specsim.validation.conformance.rules.base import Rule
from specsim.validation.conformance.tables import is_law, text_partitions

#: Tokens whose joint law is counted.
LENGTH = 3
#: Tokens of a prompt.
PROMPT = 4
#: Different prompts.
PROMPTS = 2


class DecoderModels:
    """The two models that a decoder calls.

    Attributes
    ----------
    pair
        Both as a stationary `ModelPair`; its context moves on with every token.
    start
        The context before the prompt.
    vocabulary, draft_length
        Tokens, and how many the draft should propose per round.
    """

    def __init__(self, caller: Caller, instance: Instance, d2t: Integers | None = None) -> None:
        self._caller = caller
        self._d2t = d2t
        self._instance = instance
        self.start = instance.start
        self.vocabulary = instance.vocabulary
        self.draft_length = instance.draft_length
        self._pair: ModelPair | None = None
        self._seen = np.zeros((0, 0), dtype=np.int64), np.zeros((0, 1), dtype=np.int64)

    @property
    def pair(self) -> ModelPair:
        """Both models as a `ModelPair`."""
        if self._pair is None:
            self._pair = self._instance.pair(64)
        return self._pair

    def target(self, tokens: Any) -> Any:
        """Return the target's row after every token: ``(batch, n)`` to ``(batch, n, V)``."""
        return self._rows(self._instance.target, tokens)

    def draft(self, tokens: Any) -> Any:
        """Return the draft's row after every token: ``(batch, n)`` to ``(batch, n, V)``.

        A subject that takes the option ``d2t`` gets the columns of these ids alone when it is given.
        """
        table = self._instance.draft
        return self._rows(table if self._d2t is None else table[:, self._d2t], tokens)

    def _rows(self, table: Floats, tokens: Any) -> Any:
        array = self._caller.take(tokens, "tokens").astype(np.int64)
        if array.ndim != 2 or array.shape[1] < 1:
            raise ValueError(f"tokens has shape {array.shape}; give (batch, n) with n of at least 1")
        if array.min() < 0 or array.max() >= self.vocabulary:
            raise ValueError(f"tokens are 0..{self.vocabulary - 1}; got {array.min()}..{array.max()}")
        return self._caller.give(table[self._contexts(array)[:, 1:]])

    def _contexts(self, tokens: Integers) -> Integers:
        """Return the contexts of texts, going on where they first differ from those of the call before."""
        seen, contexts = self._seen
        same = 0
        if len(seen) == len(tokens):
            shared = min(seen.shape[1], tokens.shape[1])
            alike = (seen[:, :shared] == tokens[:, :shared]).all(axis=0)
            same = shared if alike.all() else int(alike.argmin())
        found = np.empty((len(tokens), tokens.shape[1] + 1), dtype=np.int64)
        found[:, 0] = self._instance.start
        found[:, : same + 1] = contexts[:, : same + 1] if same else found[:, :1]
        for i in range(same, tokens.shape[1]):
            found[:, i + 1] = self._instance.next_context[found[:, i], tokens[:, i]]
        self._seen = tokens.copy(), found
        return found


def decode_ranked(
    caller: Caller,
    instance: Instance,
    prompts: Integers,
    new_tokens: int,
    options: Mapping[str, Any] | None = None,
) -> tuple[Integers, list[list[int]] | None]:
    """Write texts on rows that depend on the whole prefix, which some adapters cannot hold."""
    try:
        models = DecoderModels(caller, instance, (options or {}).get("d2t"))
        return caller.decode(models, prompts, new_tokens, options=options)
    except InputError as error:
        raise NotApplicable(f"the sampler cannot use rows that depend on the whole text: {error}") from error


class DecoderProbe:
    """Texts of a decoder, by prompt.

    prompts: shape ``(prompts, PROMPT)``.
    texts: counts of the first `LENGTH` tokens, shape ``(prompts, V ** LENGTH)``.
    transitions: counts of next tokens, shape ``(new_tokens, contexts, V)``.
    rounds: counts of accepted lengths of rounds that had room for a whole draft and a bonus token, by the
        accepted length of the round before (0 for first rounds) plus 1 and the context they began in, shape
        ``(K + 2, contexts, K + 1)``.
    total: texts so far.
    """

    def __init__(
        self, caller: Caller, instance: Instance, prompts: Integers, *, new_tokens: int | None = None
    ) -> None:
        self.caller = caller
        self.instance = instance
        self.models = DecoderModels(caller, instance)
        self.prompts = prompts
        self.new_tokens = new_tokens or max(2 * instance.draft_length + 2, LENGTH)
        vocabulary = instance.vocabulary
        self.starts = instance.contexts(prompts)[:, -1]
        self.texts = np.zeros((len(prompts), vocabulary**LENGTH), dtype=np.int64)
        self.transitions = np.zeros((self.new_tokens, *instance.target.shape), dtype=np.int64)
        most = instance.draft_length + 1
        self.rounds = np.zeros((most + 1, len(instance.target), most), dtype=np.int64)
        self.tells_lengths: bool | None = None
        self.total = 0

    def sample(self, count: int) -> None:
        """Decode about `count` more texts."""
        wanted = self.total + count
        limit = min(self.caller.subject.max_batch or 512, LARGEST_BATCH)
        while self.total < wanted and not self.caller.out_of_time():
            self._round(min(limit, wanted - self.total))

    def _round(self, size: int) -> None:
        which = (self.total + np.arange(size)) % len(self.prompts)
        tokens, accepted = self.caller.decode(self.models, self.prompts[which], self.new_tokens)
        instance = self.instance
        contexts = np.empty(tokens.shape, dtype=np.int64)
        context = self.starts[which]
        for position in range(self.new_tokens):
            contexts[:, position] = context
            context = instance.next_context[context, tokens[:, position]]
        np.add.at(self.texts, (which, number(tokens[:, :LENGTH], instance.vocabulary)), 1)
        np.add.at(self.transitions, (np.arange(self.new_tokens), contexts, tokens), 1)
        self.tells_lengths = accepted is not None
        for row, lengths in enumerate(accepted or ()):
            place, before = 0, -1
            for length in lengths:
                if place + instance.draft_length + 1 > self.new_tokens:
                    break
                self.rounds[before + 1, contexts[row, place], length] += 1
                place, before = place + length + 1, length
        self.total += size


def ending_prompts(lab: Laboratory, instance: Instance) -> Integers:
    """Return prompts that end in different contexts."""
    rng = lab.rng("prompts")
    best, ends = np.zeros((1, PROMPT), dtype=np.int64), 0
    for _ in range(50):
        drawn = rng.integers(0, instance.vocabulary, size=(PROMPTS, PROMPT))
        found = len(np.unique(instance.contexts(drawn)[:, -1]))
        if found > ends:
            best, ends = drawn, found
    return best


def decoder_probe(lab: Laboratory) -> DecoderProbe:
    """Return the main experiment on a decoder."""

    def build() -> DecoderProbe:
        instance = lab.main_instance
        return DecoderProbe(lab.caller("decoder"), instance, ending_prompts(lab, instance))

    return lab.keep("decoder", build)


def moved(instance: Instance, start: int) -> Instance:
    """Return the instance with another first context."""
    return replace(instance, start=start)


def rounds_laws(rule: Rule, instance: Instance, starts: Integers, length: int) -> Floats:
    """Return the laws of the first `length` tokens of a decoder that repeats rounds of the rule.

    starts: contexts before the first token.
    Returns: shape ``(starts, vocabulary ** length)``.

    Rounds are whole: the draft is not cut at the end of the text. All contexts are computed side by side,
    shorter texts first.
    """
    contexts, vocabulary = instance.target.shape
    emitted = _emitted_laws(rule, instance)
    # The context after each text that a round can emit.
    ends = [instance.next_context]
    for _ in emitted[1:]:
        ends.append(instance.next_context[ends[-1]].reshape(contexts, -1))
    laws = [np.ones((contexts, 1))]
    for size in range(1, length + 1):
        found = np.zeros((contexts, vocabulary**size))
        for tokens, (law, end) in enumerate(zip(emitted, ends, strict=True), start=1):
            if tokens >= size:
                found += law.reshape(*found.shape, -1).sum(axis=2)
            else:
                found += (law[..., None] * laws[size - tokens][end]).reshape(found.shape)
        laws.append(found)
    return laws[length][starts]


def _emitted_laws(rule: Rule, instance: Instance) -> list[Floats]:
    """Return the law of what a round emits, by its number of tokens n: ``(contexts, vocabulary ** n)``."""
    contexts, vocabulary = instance.target.shape
    length, paths = instance.draft_length, instance.paths
    places = np.empty((contexts, len(paths), length + 1), dtype=np.int64)
    places[..., 0] = np.arange(contexts)[:, None]
    for i in range(length):
        places[..., i + 1] = instance.next_context[places[..., i], paths[:, i]]
    flat = places.reshape(-1, length + 1)
    drafted = np.tile(paths, (contexts, 1))
    table = rule.law(instance.target[flat], instance.draft[flat[:, :-1]], drafted)
    drawn = instance.draft if rule.draw is None else rule.draw(instance.draft)
    joint = table * drawn[flat[:, :-1], drafted].prod(axis=1)[:, None, None]
    # Paths are in the order of their tokens, so that those with one beginning are next to each other.
    return [
        joint[:, j].reshape(contexts, vocabulary**j, -1, vocabulary).sum(axis=2).reshape(contexts, -1)
        for j in range(length + 1)
    ]


@check(
    "joint-law",
    f"joint law of the first {LENGTH} tokens after each prompt",
    protocols=("decoder",),
    rows_by_text=False,
    catches="most biases",
    weight=12.0,
)
def _joint(lab: Laboratory) -> Statistical:
    probe = decoder_probe(lab)
    instance = probe.instance
    rule = lab.rule
    if rule is not None and not rule.lossless:
        null = rounds_laws(rule, instance, probe.starts, LENGTH)
    else:
        null = np.stack([moved(instance, int(start)).target_law(LENGTH) for start in probe.starts])
    vocabulary = instance.vocabulary
    alternatives = {"the draft's law": np.stack([_draft_law(instance, int(start)) for start in probe.starts])}
    for shift in range(1, len(null)):
        alternatives[f"the law of another prompt ({shift})"] = np.roll(null, shift, axis=0)
    if rule is None or rule.lossless:
        alternatives |= _laws_of_rules(
            lambda rule: rounds_laws(rule, instance, probe.starts, LENGTH), lossless=False
        )
    look = make_look(
        lambda table: table,
        null / len(null),
        {name: law / len(null) for name, law in alternatives.items()},
        lambda: probe.texts,
        lambda stratum, cell: (
            f"prompt {_spell(probe.prompts[stratum])}: text {spelled(cell, vocabulary, LENGTH)}"
        ),
        partitions=text_partitions(vocabulary, LENGTH),
        tolerance=lab.tolerance,
    )

    def certificate() -> list[tuple[Integers, Floats]]:
        # A text after a prompt that is drawn with equal chances: the average distance over the prompts.
        return [(probe.texts.ravel(), null.ravel() / len(null))]

    return Statistical(
        probe=probe,
        looks=[look],
        planned=max(lab.least_samples, samples_for_bound(null.size, lab.eps, lab.delta)),
        certificate=certificate,
        picture=lambda: law_picture(f"joint law of the first {LENGTH} tokens, one prompt", look),
    )


def _laws_of_rules(law_of: Callable[[Rule], Floats], *, lossless: bool) -> dict[str, Floats]:
    """Return the laws of the known rules that have one, or of those alone that are not lossless."""
    from specsim.validation.conformance.rules import all_rules

    found = {}
    for rule in all_rules():
        if lossless or not rule.lossless:
            # Wrong rules may divide by zero, or not know what to do with some rows.
            with suppress(Exception), np.errstate(all="ignore"):
                law = law_of(rule)
                if is_law(law):
                    found[rule.name] = np.clip(law, 0.0, None)
    return found


def _draft_law(instance: Instance, start: int) -> Floats:
    return replace(instance, target=instance.draft, start=start).target_law(LENGTH)


def _spell(tokens: Integers) -> str:
    return "(" + " ".join(str(int(token)) for token in tokens) + ")"


@check(
    "transitions",
    "law of the next token given its context, at every position",
    protocols=("decoder",),
    rows_by_text=False,
    why_not=lossless_only,
    catches="caches and contexts out of step after a rejection or a bonus token",
)
def _transitions(lab: Laboratory) -> Statistical:
    probe = decoder_probe(lab)
    instance = probe.instance
    contexts, vocabulary = instance.target.shape
    # What each context's row is mixed up with when a cache is one token behind: a row of another context.
    lagging = instance.target[np.arange(contexts) // vocabulary]
    shares = context_shares(probe)

    def spread(rows: Floats) -> Floats:
        return shares[:, :, None] * rows[None, :, :]

    alternatives = {}
    for words, rows in (("the draft's row", instance.draft), ("the row of the context before", lagging)):
        for weight in (0.05, 0.3):
            bent = (1 - weight) * instance.target + weight * rows
            alternatives[f"{weight:g} of the way to {words}"] = spread(bent)
    looks = [
        make_look(
            lambda table: table.sum(axis=0),
            spread(instance.target),
            alternatives,
            lambda: probe.transitions,
            lambda stratum, cell: _transition_name("context", stratum, cell, contexts, instance),
            tolerance=lab.tolerance,
        ),
        make_look(
            lambda table: table.reshape(-1, vocabulary),
            spread(instance.target),
            alternatives,
            lambda: probe.transitions,
            lambda stratum, cell: _transition_name("position", stratum, cell, contexts, instance),
            tolerance=lab.tolerance,
        ),
    ]
    return Statistical(
        probe=probe,
        looks=looks,
        planned=lab.main_samples,
        picture=lambda: law_picture("next token, most frequent context", looks[0]),
    )


def context_shares(probe: DecoderProbe) -> Floats:
    """Return how often each context stands at each position under the target, ``(new_tokens, contexts)``."""
    instance = probe.instance
    shares = np.zeros((probe.new_tokens, len(instance.target)))
    np.add.at(shares[0], probe.starts, 1 / len(probe.starts))
    for position in range(1, probe.new_tokens):
        np.add.at(shares[position], instance.next_context, shares[position - 1][:, None] * instance.target)
    return shares


def _transition_name(name: str, stratum: int, cell: int, contexts: int, instance: Instance) -> str:
    where = "" if name == "context" else f"position {stratum // contexts + 1}, "
    order = round(np.log(contexts) / np.log(instance.vocabulary))
    context = spelled(stratum % contexts, instance.vocabulary, max(order, 1))
    return f"{where}after {context}: token {cell}"


@check(
    "accepted-length",
    "law of the accepted length of a round, by the context it begins in and the round before",
    kind="rule",
    protocols=("decoder",),
    rows_by_text=False,
    why_not=needs_rule,
    catches="wrong acceptance, drafts from another law, rounds that depend on each other",
)
def _lengths(lab: Laboratory) -> Statistical:
    probe = decoder_probe(lab)
    rule = lab.rule
    assert rule is not None
    instance = probe.instance

    def law_of(item: Rule) -> Floats:
        rows = []
        for context in range(len(instance.target)):
            here = moved(instance, context)
            joint = lab.joint(item, here, own=True)
            rows.append(joint.sum(axis=(0, 2)))
        return np.stack(rows)

    null = law_of(rule)
    alternatives = _laws_of_rules(law_of, lossless=True)
    look = make_look(
        lambda table: table,
        null,
        alternatives,
        lambda: probe.rounds.sum(axis=0),
        lambda stratum, cell: f"round in context {stratum}: {cell} accepted",
        tolerance=lab.tolerance,
    )
    # About one whole round per text counts; more when drafts are rejected early.
    look.shares = context_shares(probe)[0]
    contexts, previous = len(instance.target), instance.draft_length + 2

    def name_after(stratum: int, cell: int) -> str:
        before = stratum // contexts
        words = f"after {before - 1} accepted" if before else "first"
        return f"round in context {stratum % contexts}, {words}: {cell} accepted"

    after = make_look(
        lambda table: table.reshape(-1, table.shape[-1]),
        np.repeat(null[None], previous, axis=0),
        {},
        lambda: probe.rounds,
        name_after,
        directions={"fewer accepted": np.eye(instance.draft_length + 1)[0]},
        weights=(0.05, 0.2),
        tolerance=lab.tolerance,
    )
    after.shares = np.tile(look.shares / previous, previous)
    return _Lengths(
        probe=probe,
        looks=[look, after],
        planned=lab.main_samples,
        picture=lambda: law_picture("accepted length, most frequent context", look),
    )


class _Lengths(Statistical):
    """The check of accepted lengths, which only some decoders report."""

    def log_e(self) -> float:
        """Return the evidence, or an error if no lengths were reported."""
        if getattr(self.probe, "tells_lengths", None) is False:
            raise NotApplicable("the sampler does not report accepted lengths")
        return super().log_e()


@check(
    "prompts",
    "first token after prompts of one token and of several, all different in a batch",
    protocols=("decoder",),
    rows_by_text=False,
    why_not=lossless_only,
    catches="prompts ignored or taken from another row",
)
def _prompts(lab: Laboratory) -> Statistical:
    """Check batches in which every row has another prompt, of one token and of several."""
    instance = lab.main_instance
    rng = lab.rng("mixed prompts")
    probes, looks = [], []
    for prompts in (
        digits(np.arange(instance.vocabulary), instance.vocabulary, 1),
        rng.integers(0, instance.vocabulary, size=(2 * instance.vocabulary, PROMPT + 1)),
    ):
        probe = DecoderProbe(lab.caller(f"prompts {prompts.shape[1]}"), instance, prompts)
        probes.append(probe)
        looks.append(_prompt_look(lab, probe))
    return together(probes, looks, max(lab.effort.least_side, lab.side_samples // 2))


def _prompt_look(lab: Laboratory, probe: DecoderProbe) -> Look:
    instance, prompts = probe.instance, probe.prompts
    laws = instance.target[probe.starts] / len(prompts)
    first = instance.target[[instance.start]] / len(prompts)
    # The contexts that prompts lead to when only their last token, or all but it, is read.
    last = instance.contexts(prompts[:, -1:])[:, -1]
    before = instance.contexts(prompts[:, :-1])[:, -1]
    others = {
        "the row of another prompt": np.roll(laws, 1, axis=0),
        "the row of the first prompt": np.repeat(laws[:1], len(laws), axis=0),
        "the row of the last prompt": np.repeat(laws[-1:], len(laws), axis=0),
        "the row before the prompt": np.repeat(first, len(laws), axis=0),
        "the row of the prompt's last token": instance.target[last] / len(prompts),
        "the row before the prompt's last token": instance.target[before] / len(prompts),
    }
    rows, vocabulary = laws.shape
    return make_look(
        lambda table: table.reshape(rows, vocabulary, -1).sum(axis=2),
        laws,
        others,
        lambda: probe.texts,
        lambda stratum, cell: f"prompt {_spell(prompts[stratum])}: first token {cell}",
        tolerance=lab.tolerance,
    )


CHECKS = (_joint, _transitions, _lengths, _prompts)
