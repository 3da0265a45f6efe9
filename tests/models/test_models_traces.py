"""Recording traces: outcomes as the decoder reports them, rows as the models have them, theory on both."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from specsim import Autoregressive, Batch, ModelPair, Speculative, get_rule, random_pair, theory, tree
from specsim.errors import InputError, UnsupportedError
from specsim.records.trace_estimates import acceptance_of_trace, rejections_of_trace, theorem_1_of_trace
from specsim.records.trace_files import OUTCOMES, read_trace, rows_of, write_trace

if os.environ.get("SPECSIM_REQUIRE_ALL") != "1":
    pytest.importorskip("torch", reason="the extra torch is not installed")
    pytest.importorskip("transformers", reason="the extra torch is not installed")

import torch

from specsim.models import LoadedPair, decode, table_models, traces
from specsim.models.traces import record_trace

PAIR = random_pair(contexts=4, horizon=6, seed=3, stationary=True)
PROMPTS = [[0], [1, 2], [3], [2]] * 6


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def models():
    target, draft = table_models(PAIR)
    return LoadedPair(target=target, draft=draft)


@pytest.mark.parametrize(
    "algorithm",
    [
        Speculative(draft_length=2),
        Speculative(draft_length=2, bonus=False),
        Batch(drafts=2),
        get_rule("traversal")(tree=(2, 2)),
        Autoregressive(),
    ],
    ids=lambda rule: rule.label,
)
@pytest.mark.parametrize("eos", [None, 3])
def test_record__is_what_the_decoder_did(models, algorithm, eos, tmp_path):
    request = {"algorithm": algorithm, "new_tokens": 6, "seed": 9, "eos": eos}
    trace = record_trace(models, PROMPTS, **request)
    decoded = decode(models, PROMPTS, **request)
    assert trace.attrs["row_difference"] < 1e-12
    outcome = trace["outcome"].values
    for index, tokens in enumerate(decoded.tokens):
        here = trace["sequence"].values == index
        assert trace["token"].values[here].tolist() == tokens
        for name, places in (("rejected", decoded.rejected_positions), ("bonus", decoded.bonus_positions)):
            found = trace["step"].values[here & (outcome == OUTCOMES[name])]
            # Plain decoding has an outcome of its own, whatever its rounds call it.
            assert found.tolist() == ([] if algorithm == Autoregressive() else places[index])
        rounds = trace["round_sequence"].values == index
        if not isinstance(algorithm, Autoregressive):
            assert trace["round_accepted"].values[rounds].tolist() == decoded.accepted_lengths[index]
            assert trace["round_drafted"].values[rounds].tolist() == decoded.drafted_lengths[index]
            assert trace["round_step"].values[rounds][0] == 1
        before = np.array([PROMPTS[index][-1], *tokens[:-1]])
        for rows, table in zip(rows_of(trace), (PAIR.target[0], PAIR.draft[0]), strict=True):
            assert np.abs(rows[here] - table[before]).max() < 1e-7
        assert (
            trace["prompt_token"].values[trace["prompt_sequence"].values == index].tolist() == PROMPTS[index]
        )
        assert trace["round_step"].values[rounds].tolist() == (
            [] if algorithm == Autoregressive() else decoded.first_positions[index]
        )
    starts = trace["round_step"].values
    if len(starts):
        assert (np.diff(starts)[np.diff(trace["round_sequence"].values) == 0] > 0).all()
    write_trace(trace, tmp_path / "run.nc")
    assert read_trace(tmp_path / "run.nc").attrs["digest"] == trace.attrs["digest"]


@pytest.mark.parametrize("top", [0, 1, 3])
def test_record__top_k_keeps_theorem_1(models, top):
    request = {"algorithm": Speculative(draft_length=3), "new_tokens": 6, "seed": 9}
    full, few = record_trace(models, PROMPTS, **request), record_trace(models, PROMPTS, top=top, **request)
    assert rows_of(few)[0].shape[1] == top + 2
    for reading in ("rows", "path"):
        wanted = theory.expected_rejections(
            ModelPair.from_trace(full, reading=reading), Speculative(draft_length=3)
        )
        found = theory.expected_rejections(
            ModelPair.from_trace(few, reading=reading), Speculative(draft_length=3)
        )
        assert abs(wanted - found) < 1e-6
    assert theorem_1_of_trace(few).value == pytest.approx(theorem_1_of_trace(full).value, abs=1e-12)


def test_estimates__agree_with_exact_theory(models):
    """400 continuations; errors beyond 6.5 of their standard errors have probability below 1e-9 each."""
    prompts = [[token] for token in range(4)] * 100
    trace = record_trace(models, prompts, algorithm=Speculative(draft_length=2), new_tokens=6, seed=2)
    start = ModelPair.from_probabilities(PAIR.target, PAIR.draft, initial=np.full(4, 0.25), horizon=6)
    rule = Speculative(draft_length=2)
    for estimate, wanted in (
        (theorem_1_of_trace(trace), theory.expected_rejections(start, Speculative())),
        (theorem_1_of_trace(trace, bonus_places=False), theory.expected_rejections(start, rule)),
        (rejections_of_trace(trace), theory.expected_rejections(start, rule)),
    ):
        assert abs(estimate.value - wanted) < 6.5 * estimate.standard_error
        assert estimate.low < estimate.value < estimate.high
    accepted = acceptance_of_trace(trace)
    assert accepted is not None
    counts = accepted["accepted_length_count"].values
    law = theory.accepted_length_law(start, rule)[:3]
    assert np.abs(counts / counts.sum() - law).max() < 6.5 * 0.5 / np.sqrt(counts.sum())
    plain = record_trace(models, PROMPTS, algorithm=Autoregressive(), new_tokens=2, seed=2)
    assert acceptance_of_trace(plain) is None


def test_record__refuses(models, monkeypatch):
    request = {"new_tokens": 4, "seed": 1}
    for top in (4, -1, True):
        with pytest.raises(InputError, match=f"top is {top}; give a whole number from 0 to 3"):
            record_trace(models, PROMPTS, top=top, **request)
    monkeypatch.setattr(traces, "MOST_BYTES", 1000)
    with pytest.raises(InputError, match=r"too many to hold; give top=.*check_rows=False takes less"):
        record_trace(models, PROMPTS, **request)
    unchecked = record_trace(models, PROMPTS, top=1, check_rows=False, **request)
    assert unchecked.attrs["row_difference"] == "not looked at"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from transformers.utils import logging

    logging.disable_progress_bar()
    place = tmp_path_factory.mktemp("pair")
    for name, model in zip(("target", "draft"), table_models(PAIR), strict=True):
        model.save_pretrained(place / name)
    logging.enable_progress_bar()
    (place / "prompts.json").write_text(json.dumps(PROMPTS))
    return place


def run(*arguments):
    from click.testing import CliRunner

    from specsim.cli import main

    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_commands__record_show_and_use(folder, tmp_path):
    result = run(
        "models", "trace", "record", folder / "target", folder / "draft", "speculative:draft_length=2",
        "--prompts", folder / "prompts.json", "--new-tokens", 5, "--seed", 3, "--out", tmp_path / "run.nc",
        "--threads", 1,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "Acceptance by position in the draft" in result.output
    shown = run("models", "trace", "show", tmp_path / "run.nc")
    assert shown.stdout == result.stdout
    document = json.loads(run("models", "trace", "show", tmp_path / "run.nc", "--json").stdout)
    trace = read_trace(tmp_path / "run.nc")
    assert document["theorem_1"]["value"] == theorem_1_of_trace(trace).value
    used = run("expect", f"trace:file={tmp_path / 'run.nc'}", "speculative", "--json")
    assert abs(json.loads(used.stdout)["expected_rejections"] - theorem_1_of_trace(trace).value) < 1e-6
    assert run("expect", tmp_path / "run.nc", "speculative").exit_code != 0


def test_commands__a_log_needs_no_torch(tmp_path):
    (tmp_path / "log.csv").write_text("accepted,drafted\n" + "2,4\n0,4\n4,4\n" * 5)
    result = run("models", "trace", "log", tmp_path / "log.csv")
    assert result.exit_code == 0, result.output
    assert "tokens per target call: 3 (" in result.output
    document = json.loads(run("models", "trace", "log", tmp_path / "log.csv", "--no-bonus", "--json").stdout)
    assert document["accepted_length_count"] == [5, 0, 5, 0, 5]
    assert document["block_efficiency"] == pytest.approx(40 / 15)
    bad = run("models", "trace", "log", tmp_path / "none.csv")
    assert bad.exit_code == 2


def test_trace_of_a_tree__gives_a_pair_for_any_algorithm(models, tmp_path):
    """Contexts of this pair are tokens, so that the rows after each token are known exactly."""
    file = tmp_path / "run.nc"
    recorded = get_rule("traversal")(tree=(2, 2))
    write_trace(record_trace(models, PROMPTS, algorithm=recorded, new_tokens=6, seed=9), file)
    pair = ModelPair.from_trace(file, reading="markov")
    last = np.bincount([prompt[-1] for prompt in PROMPTS], minlength=4) / len(PROMPTS)
    known = ModelPair.from_probabilities(PAIR.target, PAIR.draft, initial=last, horizon=6)
    for algorithm in (recorded, Speculative(draft_length=3), get_rule("k-seq")(drafts=2, draft_length=2)):
        found, wanted = (theory.expected_target_calls(each, algorithm) for each in (pair, known))
        assert found == pytest.approx(wanted, abs=1e-5)


def test_record__refuses_trees_whose_paths_differ_in_length(models):
    with pytest.raises(UnsupportedError, match=r"paths of 1 to 2 tokens, .* does not tell apart; give"):
        record_trace(
            models, PROMPTS, algorithm=get_rule("recursive")(tree=tree((-1, 0, 0, 1))), new_tokens=6, seed=1
        )
