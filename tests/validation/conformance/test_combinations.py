"""Options that are given together."""

import numpy as np
import pytest

from benchmarks.zoo.controls_step import ratio_step
from benchmarks.zoo.model import all_controls
from specsim.testing import Subject
from specsim.validation.conformance.calling import ContractError
from specsim.validation.conformance.combinations import BINS, cells_of, clear
from specsim.validation.conformance.filters import filtered
from specsim.validation.conformance.laboratory import Laboratory, get_effort
from specsim.validation.conformance.ranked import ranked_instance
from specsim.validation.conformance.step_combinations import (
    Call,
    StepCombinations,
    step_pairs,
    step_parts,
)


def probe_of(subject):
    lab = Laboratory(subject, get_effort("quick"), eps=0.1, delta=1e-3, seed=1)
    return StepCombinations(lab.caller("pairs"), lab.rng("pairs"), seed=lab.instance_seed)


def subject_of(run=ratio_step, **fields):
    return Subject(name="mine", protocol="step", run=run, **fields)


def test_parts__are_options_and_sizes_that_the_subject_takes():
    subject = subject_of(options=frozenset({"top_k", "eos", "d2t"}), max_batch=8, max_vocabulary=64)
    assert step_parts(subject) == ["d2t", "eos", "top_k", "long", "single"]
    assert step_parts(subject.replace(draft="optional", max_draft_length=8))[-2:] == ["top_k", "single"]
    assert "no draft rows" in step_parts(subject.replace(draft="optional"))
    processed = subject.replace(process=lambda tokens, rows: rows)
    assert step_parts(processed) == ["d2t", "eos", "process", "long", "single"]


def test_pairs__leave_out_what_cannot_be_together():
    subject = subject_of(options=frozenset({"d2t", "temperature", "temperatures"}), draft="optional")
    pairs = {frozenset(pair) for pair in step_pairs(subject)}
    assert frozenset({"d2t", "no draft rows"}) not in pairs
    assert frozenset({"temperature", "temperatures"}) not in pairs
    assert frozenset({"long", "wide"}) not in pairs
    assert frozenset({"temperature", "long"}) in pairs
    assert not step_pairs(subject_of(options=frozenset()))


@pytest.mark.parametrize("name", ["ratio", "filters-of-target", "processed-step"])
def test_right_samplers__have_tokens_of_positive_probability_at_uniform_places(name):
    (subject,) = (control.subject for control in all_controls() if control.name == name)
    probe = probe_of(subject)
    probe.sample(1200)
    assert not probe.counts[..., BINS].any()
    totals = probe.counts[..., :BINS].sum(axis=1)
    shares = totals / totals.sum(axis=1, keepdims=True)
    assert np.abs(shares - 1 / BINS).max() < 5 / np.sqrt(totals.sum(axis=1).min())
    assert (totals > 0).any(axis=0).all()


def test_filters__that_are_forgotten_together_are_counted_as_impossible():
    def run(target, draft, drafted, seed, top_k=None, top_p=None):
        return ratio_step(target, draft, drafted, seed, top_k=top_k, top_p=None if top_k else top_p)

    probe = probe_of(subject_of(run, options=frozenset({"top_k", "top_p"})))
    probe.sample(2000)
    impossible = {pair: probe.counts[0, 2 * n : 2 * n + 2, BINS].sum() for n, pair in enumerate(probe.pairs)}
    assert impossible["top_k", "top_p"] > 0
    # In calls for another pair both options may be there, too.
    assert impossible["top_k", "top_p"] >= max(impossible.values())


def test_an_end_that_is_never_drawn__is_missing_from_the_first_place_of_its_own_order():
    def run(target, draft, drafted, seed, eos=None):
        target, draft = np.array(target), np.array(draft)
        if eos is not None:
            target[..., eos] = draft[..., eos] = 0.0
        return ratio_step(target, draft, drafted, seed)

    probe = probe_of(subject_of(run, options=frozenset({"eos"})))
    assert probe.orders[-1] == "the end of text first"
    probe.sample(600)
    eighths = probe.counts[-1].sum(axis=0)
    assert eighths[0] < 0.7 * eighths[BINS - 1]
    assert probe_of(subject_of(options=frozenset({"top_k"}))).orders[-1] != "the end of text first"


def test_tokens_after_an_end__violate_the_contract():
    def run(target, draft, drafted, seed, eos=None, draft_lengths=None):
        return ratio_step(target, draft, drafted, seed, draft_lengths)

    probe = probe_of(subject_of(run, options=frozenset({"eos", "draft_lengths"})))
    with pytest.raises(ContractError, match="goes on after the end of text"):
        probe.sample(300)


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({"top_k": 2}, True),
        ({"top_k": 3}, False),
        ({"top_p": 0.6}, True),
        ({"top_p": 0.5}, False),
        ({"top_p": 0.8}, False),
        ({"min_p": 0.3}, True),
        ({"min_p": 0.25}, False),
        ({"temperature": 0.5, "min_p": 0.3}, True),
        ({"typical_p": 0.9}, True),
        ({"typical_p": 0.8}, False),
        ({}, True),
    ],
)
def test_clear__is_what_every_reading_of_the_filters_leaves_alike(filters, wanted):
    # The sums of the likeliest tokens are 0.5, 0.75, 0.875 and 1; two tokens tie.
    assert clear(np.array([[0.5, 0.25, 0.125, 0.125]]), filters) is wanted


def test_laws__are_those_of_each_row_s_temperature():
    instance = ranked_instance(3, vocabulary=4, draft_length=2).instance
    options = {"temperatures": np.array([0.5, 2.0, 0.5]), "top_k": 3}
    starts = np.array([0, 1, 2])
    drawn, law, raw = Call(subject_of(), instance, options, starts).laws(np.zeros((3, 0), dtype=int))
    np.testing.assert_array_equal(raw, instance.target[starts])
    for row, temperature in enumerate(options["temperatures"]):
        filters = {"temperature": temperature, "top_k": 3}
        np.testing.assert_allclose(law[row], filtered(instance.target[row], filters))
        np.testing.assert_allclose(drawn[row], filtered(instance.draft[row], filters))


def test_cells__are_those_of_each_token_s_interval():
    law = np.repeat([[0.125, 0.5, 0.125, 0.25, 0.0]], 4000, axis=0)
    token = np.arange(4000) % 5
    cells = cells_of(law, token, law, np.random.default_rng(1))
    # By rising probability, the tokens 0, 2, 3 and 1 have an eighth, an eighth, a quarter and a half.
    wanted = {0: {0}, 2: {1}, 3: {2, 3}, 1: {4, 5, 6, 7}, 4: {BINS}}
    assert {number: set(cells[token == number]) for number in range(5)} == wanted
