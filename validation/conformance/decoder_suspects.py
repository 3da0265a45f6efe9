"""Known mistakes of whole decoders: their exact laws, and a comparison with what was seen."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache

import numpy as np

from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.checks.decoder import (
    LENGTH,
    DecoderProbe,
    decoder_probe,
    moved,
    rounds_laws,
)
from specsim.validation.conformance.instances import Instance, number
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.rules import all_rules
from specsim.validation.conformance.rules.base import Rule, no_law
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.suspects import WANTED, Known, fits, log_likelihood
from specsim.validation.conformance.tables import is_law

#: (instance, target's context, drafted tokens ``(paths, K)``, accepted, final tokens) -> next contexts.
Moves = Callable[[Instance, int, Integers, int, Integers], Integers]

#: Largest difference of a probability that a bug must make to be distinguished from a right decoder.
NOTICEABLE = 1e-4


def _after(instance: Instance, context: int, tokens: Integers) -> Integers:
    return moved(instance, context).contexts(tokens)[:, -1]


def _right(instance: Instance, context: int, drafted: Integers, accepted: int, final: Integers) -> Integers:
    return _after(instance, context, np.column_stack([drafted[:, :accepted], final]))


def _keeps_one(
    instance: Instance, context: int, drafted: Integers, accepted: int, final: Integers
) -> Integers:
    return _after(instance, context, np.column_stack([drafted[:, : accepted + 1], final]))


def _keeps_all(
    instance: Instance, context: int, drafted: Integers, accepted: int, final: Integers
) -> Integers:
    return _after(instance, context, np.column_stack([drafted, final]))


def _misses_last(
    instance: Instance, context: int, drafted: Integers, accepted: int, final: Integers
) -> Integers:
    return _after(instance, context, drafted[:, :accepted])


def _forgets(instance: Instance, context: int, drafted: Integers, accepted: int, final: Integers) -> Integers:
    return np.full(len(final), instance.start)


def _sees_last_alone(
    instance: Instance, context: int, drafted: Integers, accepted: int, final: Integers
) -> Integers:
    return _after(instance, instance.start, final[:, None])


def law_of_contexts(
    instance: Instance, start: int, rule: Rule, moves: Moves, first: int | None = None
) -> Floats:
    """Return the law of the first `LENGTH` tokens when the target's context moves as `moves` says.

    start: the context after the prompt; the draft's is always right.
    first: the target's context in the first round. Defaults to None: the right one.
    """
    vocabulary, paths = instance.vocabulary, instance.paths

    @cache
    def law(own: int, seen: int, rest: int) -> Floats:
        target = moved(instance, seen).rows(paths)[0]
        draft = moved(instance, own).rows(paths)[1]
        joint = rule.law(target, draft, paths) * moved(instance, own).path_law()[:, None, None]
        found = np.zeros(vocabulary**rest)
        for accepted in range(instance.draft_length + 1):
            for final in range(vocabulary):
                masses = joint[:, accepted, final]
                emitted = np.column_stack([paths[:, :accepted], np.full(len(paths), final)])
                if accepted + 1 >= rest:
                    np.add.at(found, number(emitted[:, :rest], vocabulary), masses)
                    continue
                finals = emitted[:, -1]
                owns = _right(instance, own, paths, accepted, finals)
                sees = moves(instance, seen, paths, accepted, finals)
                keys = np.column_stack([number(emitted, vocabulary), owns, sees])
                left = rest - accepted - 1
                for key in np.unique(keys, axis=0):
                    mass = masses[(keys == key).all(axis=1)].sum()
                    if mass > 0:
                        begin = int(key[0]) * vocabulary**left
                        found[begin : begin + vocabulary**left] += mass * law(int(key[1]), int(key[2]), left)
        return found

    return law(start, start if first is None else first, LENGTH)


def first_token_law(instance: Instance, start: int, row: Floats) -> Floats:
    """Return the law of the texts whose first token has another law, and whose rest is the target's."""
    text = moved(instance, start).target_law(LENGTH).reshape(instance.vocabulary, -1)
    return np.asarray((row[:, None] * text / text.sum(axis=1, keepdims=True)).ravel())


def mistaken_laws(instance: Instance, prompts: Integers) -> dict[Rule, Floats]:
    """Return, for every known mistake of a decoder, the law of the texts after each prompt.

    prompts: shape ``(prompts, n)``.
    Returns: laws ``(prompts, V ** LENGTH)``.
    """
    starts = instance.contexts(prompts)[:, -1]
    # What the target's context would be if it saw the prompt's last token alone.
    last = instance.contexts(prompts[:, -1:])[:, -1]
    reset = np.full(len(starts), instance.start)
    likeliest = np.eye(instance.vocabulary)[instance.target.argmax(axis=1)]
    drafts = replace(instance, target=instance.draft)

    def mistaken(name: str, title: str, source: str, law: Callable[[int], Floats]) -> tuple[Rule, Floats]:
        rule = Rule(
            name=name, title=title, source=source, lossless=False, bug_class="14 contexts", law=no_law
        )
        return rule, np.stack([law(prompt) for prompt in range(len(prompts))])

    def contexts(moves: Moves, first: Integers = starts) -> Callable[[int], Floats]:
        return lambda prompt: law_of_contexts(instance, int(starts[prompt]), RATIO, moves, int(first[prompt]))

    def first_token(rows: Floats) -> Callable[[int], Floats]:
        return lambda prompt: first_token_law(instance, int(starts[prompt]), rows[starts[prompt]])

    kept = "vllm-project/tpu-inference#3178; vllm-project/vllm#39273"
    lost = "paiml/aprender#2014"
    return dict(
        [
            mistaken(
                "first-token-greedy",
                "the first token after the prompt is the target's likeliest",
                "Luce-Org/lucebox#374",
                first_token(likeliest),
            ),
            mistaken(
                "first-token-from-draft",
                "the first token after the prompt is drawn from the draft",
                "easily made",
                first_token(instance.draft),
            ),
            mistaken(
                "target-keeps-rejected",
                "after a rejection the target goes on as if it had seen the rejected token, too",
                kept,
                contexts(_keeps_one),
            ),
            mistaken(
                "target-keeps-rejected",
                "after a round the target goes on as if it had seen the whole draft",
                kept,
                contexts(_keeps_all),
            ),
            mistaken(
                "target-misses-last",
                "the target never sees the last token of a round",
                "easily made",
                contexts(_misses_last),
            ),
            mistaken(
                "target-forgets",
                "in every round the target sees the tokens of that round alone",
                lost,
                contexts(_forgets, reset),
            ),
            mistaken(
                "target-forgets",
                "after the first round the target sees the tokens of the round alone",
                lost,
                contexts(_forgets),
            ),
            mistaken(
                "target-forgets",
                "in every round the target sees the last token and those of the round alone",
                lost,
                contexts(_sees_last_alone, last),
            ),
            mistaken(
                "target-forgets",
                "after the first round the target sees the last token and those of the round alone",
                lost,
                contexts(_sees_last_alone),
            ),
            mistaken(
                "draft-for-target",
                "texts are the draft's",
                "easily made",
                lambda prompt: moved(drafts, int(starts[prompt])).target_law(LENGTH),
            ),
        ]
    )


def known_decoder_laws(lab: Laboratory) -> list[Known]:
    """Compare the texts of the main experiment with every known rule and mistake."""
    probe = decoder_probe(lab)
    if probe.total < WANTED:
        probe.sample(WANTED - probe.total)
    if not probe.total:
        return []
    instance = probe.instance
    right = np.stack([moved(instance, int(start)).target_law(LENGTH) for start in probe.starts])
    laws: dict[Rule, Floats] = dict(mistaken_laws(instance, probe.prompts))
    for rule in dict.fromkeys((*all_rules(), *((lab.rule,) if lab.rule else ()))):
        # Wrong rules may divide by zero, or not know what to do with some rows.
        with suppress(Exception), np.errstate(all="ignore"):
            law = right if rule.lossless else rounds_laws(rule, instance, probe.starts, LENGTH)
            if is_law(law):
                laws[rule] = np.clip(law, 0.0, None)
    found = []
    for rule, law in laws.items():
        if not rule.lossless and np.abs(law - right).max() < NOTICEABLE:
            # A bug that does not show here explains nothing.
            continue
        agree = {"texts": fits(probe.texts, law, lambda table: table, lab.tolerance)}
        if rule.lossless:
            agree |= _positions(probe, lab.tolerance) | _lengths(lab, probe, rule)
        found.append(Known(rule=rule, log_likelihood=log_likelihood(probe.texts, law), fits=agree))
    return found


def _positions(probe: DecoderProbe, tolerance: float) -> dict[str, bool]:
    """Return whether first and later tokens have the target's law given their context."""
    target = probe.instance.target
    return {
        "first token": fits(probe.transitions[0], target, lambda table: table, tolerance),
        "later tokens": fits(probe.transitions[1:].sum(axis=0), target, lambda table: table, tolerance),
    }


def _lengths(lab: Laboratory, probe: DecoderProbe, rule: Rule) -> dict[str, bool]:
    """Return whether accepted lengths, where they are reported, are those of a rule."""
    if not probe.rounds.any():
        return {}
    contexts = range(probe.rounds.shape[1])
    rows = [lab.joint(rule, moved(probe.instance, c), own=True).sum(axis=(0, 2)) for c in contexts]
    # Counts are split by the accepted length of the round before, which the law does not know.
    seen = probe.rounds.sum(axis=0)
    return {"accepted lengths": fits(seen, np.stack(rows), lambda table: table, lab.tolerance)}
