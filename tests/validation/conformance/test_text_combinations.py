"""Texts of decoders under several options at once."""

import numpy as np
import pytest

from benchmarks.zoo import asked, get_controls, get_mutants
from specsim.validation.conformance.calling import Caller
from specsim.validation.conformance.results import CheckStatus
from specsim.validation.conformance.running import check_sampler
from specsim.validation.conformance.subjects import Subject
from specsim.validation.conformance.text_combinations import TextCombinations, text_pairs, text_parts


def subject(*options, **fields):
    return Subject(
        **{"name": "it", "protocol": "decoder", "run": lambda *_, **__: None, "options": options, **fields}
    )


def test_parts__are_options_processing_and_large_sizes():
    assert text_parts(subject("top_k", "eos")) == ["eos", "top_k", "far", "long", "many", "single"]
    assert text_parts(subject("top_k", "temperature", process=asked.declared)) == [
        "process", "temperature", "far", "long", "many", "single",
    ]  # fmt: skip
    assert text_parts(subject("d2t", "seeds", max_vocabulary=3, max_batch=1, max_draft_length=4)) == [
        "seeds", "far",
    ]  # fmt: skip


def test_pairs__have_at_most_one_size_and_no_two_temperatures():
    pairs = text_pairs(subject("temperature", "temperatures", "eos"))
    assert ("eos", "temperature") in pairs
    assert ("temperature", "temperatures") not in pairs
    assert not {("far", "long"), ("far", "many"), ("long", "many")} & set(pairs)
    assert text_pairs(subject()) == []
    assert text_pairs(subject(process=asked.declared)) == [
        ("process", "far"), ("process", "long"), ("process", "many"), ("process", "single"),
    ]  # fmt: skip


def written(control, seed=1, count=400):
    (item,) = get_controls([control])
    probe = TextCombinations(Caller(subject=item.subject, seed=seed), np.random.default_rng(seed), seed=3)
    probe.sample(count)
    return probe


@pytest.mark.parametrize("name", ["asked-decoder", "processed-decoder", "grammar-decoder"])
def test_right_decoders__write_tokens_of_uniform_place(name):
    probe = written(name)
    assert probe.total >= 400
    assert probe.counts[..., -1].sum() == 0
    assert all(look.evidence.log_e(look.counts()) < 3 for look in probe.looks(1e-12))


@pytest.mark.slow
def test_every_pair__gets_texts_and_long_ones_their_own_counts():
    probe = written("asked-decoder", count=3000)
    early, late = probe.counts[0, ::2].sum(axis=1), probe.counts[0, 1::2].sum(axis=1)
    assert early.min() > 0
    far = np.array(["far" in pair for pair in probe.pairs])
    assert late[far].min() > 0


def test_prompts__do_not_end_with_a_token_of_a_stop_sequence():
    probe = written("asked-decoder", count=0)
    prompts = probe._prompts(200, 4, ((0, 2), (2, 2, 0)))
    assert set(prompts[:, -1]) == {1, 3}


@pytest.mark.parametrize("name", ["penalty-of-short-texts", "bonus-nucleus-first"])
def test_what_is_wrong_together__is_found(name):
    (mutant,) = get_mutants([name])
    report = check_sampler(mutant.subject, effort="quick", only=["combinations"])
    (check,) = (check for check in report.checks if check.name == "combinations")
    assert check.status is CheckStatus.FAILED
