"""The zoo's decoders against the law of their texts, round by round."""

from dataclasses import replace

import numpy as np
import pytest
from specsim_tests_zoo import (
    CONTROLS,
    EVERY,
    MUTANTS,
    OPTIONS,
    agrees,
    continuation_law,
    of,
)

from benchmarks.zoo import decoder_streams
from specsim.validation.conformance.filters import filtered
from specsim.validation.conformance.instances import chain_instance, number
from specsim.validation.conformance.rules import lossless


class DecoderModels:
    """The models that a decoder calls."""

    def __init__(self, instance):
        self.instance, self.start = instance, instance.start
        self.vocabulary, self.draft_length = instance.vocabulary, instance.draft_length

    def target(self, tokens):
        return self.instance.target[self.instance.contexts(tokens)[:, 1:]]

    def draft(self, tokens):
        return self.instance.draft[self.instance.contexts(tokens)[:, 1:]]


NEW, TEXTS = 4, 8000


@pytest.fixture(scope="module")
def chain():
    return chain_instance(17, vocabulary=3, order=2, draft_length=2)


def decoded(subject, chain, seed=1, **options):
    """Return texts by number, accepted lengths, and which of two prompts each row has."""
    prompts = np.array([[0, 1, 2], [2, 1, 1]])[np.arange(TEXTS) % 2]
    tokens, accepted = subject.run(DecoderModels(chain), prompts, NEW, seed, **options)
    assert tokens.shape == (TEXTS, NEW)
    assert len(accepted) == TEXTS
    for row in accepted[:200]:
        assert sum(row) + len(row) >= NEW
        assert sum(row[:-1]) + len(row[:-1]) < NEW
    return number(tokens, 3), accepted, prompts


def decoder_law(rule, chain, prompt):
    """Return the law of texts of `NEW` tokens when every round follows the rule."""
    begin = int(chain.contexts(prompt[None, :])[0, -1])
    rounds = {}
    open_texts = {(): (begin, 1.0)}
    law = np.zeros(3**NEW)
    while open_texts:
        text = min(open_texts, key=len)  # every way to a text is known when no shorter one is open
        context, mass = open_texts.pop(text)
        if context not in rounds:
            rounds[context] = round_law(rule, chain, context)
        for emitted, share in rounds[context].items():
            longer = text + emitted
            if len(longer) >= NEW:
                law[number(np.array(longer[:NEW]), 3)] += mass * share
            else:
                after = context
                for token in emitted:
                    after = int(chain.next_context[after, token])
                _, before = open_texts.get(longer, (after, 0.0))
                open_texts[longer] = after, before + mass * share
    return law


def round_law(rule, chain, context):
    """Return the law of the tokens of one round."""
    moved = replace(chain, start=context)
    target, draft = moved.rows(moved.paths)
    table = moved.path_law()[:, None, None] * rule.law(target, draft, moved.paths)
    law = {}
    for (path, accepted, final), share in np.ndenumerate(table):
        emitted = (*(int(x) for x in moved.paths[path, :accepted]), int(final))
        law[emitted] = law.get(emitted, 0.0) + share
    return law


def decoder_agrees(found, prompts, law_of):
    outcome = True
    for prompt in np.unique(prompts, axis=0):
        rows = (prompts == prompt).all(axis=1)
        outcome &= agrees(found[rows], law_of(prompt)).agrees
    return outcome


#: Mutants that are right in a few short texts on rows that depend on two tokens: the check that must reject
#: them is for what is longer, larger, remembered, for rows of other kinds, or for what texts share.
HIDDEN = {
    name
    for name in of(MUTANTS, "decoder")
    if MUTANTS[name].killed_by[0] in ("sizes", "whole-prefix", "rounds", "long-texts", "edge-rows")
} | {mutant.name for mutant in decoder_streams.MUTANTS}


@pytest.mark.parametrize("name", of(EVERY, "decoder"))
def test_decoders_write_texts_of_their_law(name, chain):
    item = EVERY[name]
    found, _, prompts = decoded(item.subject, chain)
    right = decoder_agrees(found, prompts, lambda prompt: continuation_law(chain, prompt, NEW))
    assert right == (name in CONTROLS or name in HIDDEN)
    if name in MUTANTS and item.law is not None:
        assert decoder_agrees(found, prompts, lambda prompt: decoder_law(item.law, chain, prompt))


def test_law_of_a_decoder_by_its_rounds_is_the_targets_for_a_lossless_rule(chain):
    prompt = np.array([2, 1, 1])
    for rule in (lossless.RATIO, lossless.BLOCK, lossless.ONE_HOT):
        np.testing.assert_allclose(
            decoder_law(rule, chain, prompt), continuation_law(chain, prompt, NEW), atol=1e-12
        )


def test_decoders_of_a_rule_accept_as_it_says(chain):
    for name, rule in (
        ("decoder-ratio", lossless.RATIO),
        ("decoder-block", lossless.BLOCK),
        ("decoder-one-hot", lossless.ONE_HOT),
    ):
        _, accepted, prompts = decoded(CONTROLS[name].subject, chain, seed=2)
        first = np.array([row[0] for row in accepted])
        for prompt in np.unique(prompts, axis=0):
            moved = replace(chain, start=int(chain.contexts(prompt[None, :])[0, -1]))
            target, draft = moved.rows(moved.paths)
            law = (moved.path_law()[:, None, None] * rule.law(target, draft, moved.paths)).sum(axis=(0, 2))
            assert agrees(first[(prompts == prompt).all(axis=1)], law).agrees


def test_the_options_of_the_decoder(chain):
    for options in (*({key: value} for key, value in OPTIONS.items()), OPTIONS):
        right = chain.mapped(lambda rows, options=options: filtered(rows, options), "filtered")
        found, _, prompts = decoded(CONTROLS["decoder-ratio"].subject, chain, **options)
        assert decoder_agrees(
            found, prompts, lambda prompt, right=right: continuation_law(right, prompt, NEW)
        )
