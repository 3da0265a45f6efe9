"""Adapters of libraries that pip installs: skipped where they are absent.

transformers and torch are in the extra ``torch`` and required with SPECSIM_REQUIRE_ALL=1; no extra has the
others. Targets whose rows are one-hot leave nothing to chance, whatever the drafts: few texts show a row
that was read in a wrong context.
"""

from __future__ import annotations

import importlib
import os
from types import SimpleNamespace

import numpy as np
import pytest

from specsim.algorithms import get_rule
from specsim.errors import InputError
from specsim.testing import check_sampler
from specsim.validation.conformance.adapters.libraries import load, names_version, version
from specsim.validation.conformance.instances import Instance, chain_instance, order_contexts
from specsim.validation.conformance.rules.lossless import RATIO

ADAPTERS = "specsim.validation.conformance.adapters"
REQUIRED = ("specsim_decoder", "transformers_step", "transformers_decoder")
PROMPTS = np.array([[1, 2, 0], [2, 1, 1]])


def adapter(name, *libraries):
    """Import an adapter, or skip when one of the libraries is missing."""
    for library in libraries:
        if os.environ.get("SPECSIM_REQUIRE_ALL") != "1" or name not in REQUIRED:
            pytest.importorskip(library, reason=f"{library} is not installed", exc_type=ImportError)
    return importlib.import_module(f"{ADAPTERS}.{name}")


def real_sampler(name, *libraries):
    """Import one of ``benchmarks/real_samplers``, or skip when one of the libraries is missing."""
    for library in (*libraries, "benchmarks.real_samplers"):
        pytest.importorskip(library, reason=f"{library} is not installed", exc_type=ImportError)
    return importlib.import_module(f"benchmarks.real_samplers.{name}")


def certain(draft_length=2):
    """Return an instance of order 2 whose target rows are one-hot; the draft's are not."""
    table = order_contexts(3, 2)
    rng = np.random.default_rng(4)
    target = np.eye(3)[rng.integers(3, size=len(table))]
    draft = chain_instance(1, vocabulary=3, order=2, draft_length=draft_length).draft
    return Instance(
        name="certain", target=target, draft=draft, next_context=table, start=0, draft_length=draft_length
    )


def models_of(instance):
    """Return what a decoder is given."""
    return SimpleNamespace(
        pair=instance.pair(32),
        start=instance.start,
        vocabulary=instance.vocabulary,
        draft_length=instance.draft_length,
        target=lambda tokens: instance.target[instance.contexts(np.asarray(tokens))[:, 1:]],
        draft=lambda tokens: instance.draft[instance.contexts(np.asarray(tokens))[:, 1:]],
    )


def only_text(instance, prompts, length):
    """Return the one continuation of every prompt."""
    texts = prompts
    for _ in range(length):
        context = instance.contexts(texts)[:, -1]
        texts = np.concatenate([texts, instance.target[context].argmax(axis=1)[:, None]], axis=1)
    return texts[:, prompts.shape[1] :]


def assert_certain(subject, length=6):
    """The decoder writes the only possible text, and the same again with the same seed."""
    instance = certain()
    models = models_of(instance)
    found = subject.run(models, PROMPTS, length, 3)
    tokens = found[0] if isinstance(found, tuple) else found
    np.testing.assert_array_equal(tokens, only_text(instance, PROMPTS, length))
    other = chain_instance(2, vocabulary=3, order=2, draft_length=2)
    twice = [subject.run(models_of(other), PROMPTS, length, 5) for _ in range(2)]
    first, second = (np.asarray(one[0] if isinstance(one, tuple) else one) for one in twice)
    np.testing.assert_array_equal(first, second)
    assert first.shape == (2, length)


def test_step_of_transformers__follows_the_ratio_rule_of_the_rows_it_is_given():
    module = adapter("transformers_step", "torch", "transformers")
    torch = load("torch", package="torch")
    target, draft = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]]), np.array([[0.2, 0.3, 0.5]])
    runs = 400
    drafted = np.tile(np.arange(3)[:, None], (runs, 1))
    targets, rows = (np.broadcast_to(rows, (3, *rows.shape)) for rows in (target, draft))
    exact = RATIO.law(targets, rows, np.arange(3)[:, None])

    def farthest(draft_rows):
        rows = [torch.tensor(np.log(rows)).repeat(3 * runs, 1, 1) for rows in (target, draft_rows)]
        tokens, lengths = module.speculative_sampling(*rows, drafted, 7)
        counts = np.zeros((3, 2, 3))
        everyone = np.arange(3 * runs)
        np.add.at(counts, (drafted[:, 0], lengths - 1, tokens[everyone, lengths - 1]), 1)
        return np.abs(counts / runs - exact).max()

    # Hoeffding: each of the 18 shares is farther off with probability 1e-9 / 18 at most.
    bound = np.sqrt(np.log(36e9) / (2 * runs))
    assert farthest(draft) < bound < farthest(draft[:, ::-1].copy())


def test_step_of_transformers__leaves_the_global_generator_alone():
    module = adapter("transformers_step", "torch", "transformers")
    torch = load("torch", package="torch")
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    rows = torch.zeros((2, 3, 4))
    tokens, lengths = module.speculative_sampling(rows, rows[:, :2], np.array([[0, 1], [2, 3]]), 1)
    assert torch.equal(torch.rand(3), expected)
    np.testing.assert_array_equal(lengths, [3, 3])
    np.testing.assert_array_equal(tokens[:, :2], [[0, 1], [2, 3]])


@pytest.mark.parametrize("index", range(4))
def test_decoder_of_transformers__writes_the_only_text(index):
    subject = adapter("transformers_decoder", "torch", "transformers").subjects()[index]
    assert_certain(subject)


@pytest.mark.slow
def test_decoder_of_specsim__writes_the_only_text_by_every_rule():
    subjects = adapter("specsim_decoder", "torch", "transformers").subjects()
    from specsim.models.rules import torch_rules

    assert {subject.name.split(": ")[1].split(",")[0] for subject in subjects} == {
        name for name in torch_rules() if get_rule(name).lossless
    }
    for subject in subjects:
        assert_certain(subject)


@pytest.mark.slow
def test_decoder_of_specsim__is_certified_and_a_wrong_residual_is_not(monkeypatch):
    subject = adapter("specsim_decoder", "torch", "transformers").subjects()[0]
    assert check_sampler(subject, effort="quick", seed=1, only=["joint-law"]).passed
    from specsim.models.rules import ratio

    monkeypatch.setattr(ratio, "residual", lambda target, draft, token: target)
    assert not check_sampler(subject, effort="quick", seed=1, only=["joint-law"]).passed


def test_decoder_of_transformers__puts_the_settings_of_the_assistant_back():
    module = adapter("transformers_decoder", "torch", "transformers")
    models = models_of(certain())
    module.assisted(models, PROMPTS, 2, 1)
    before = dict(vars(module._tables(models)[1].generation_config))
    module.assisted(models, PROMPTS, 2, 1, settings={"temperature": 0.25, "num_assistant_tokens": 1})
    assert vars(module._tables(models)[1].generation_config) == before


def test_decoder_of_mlx__writes_the_only_text_and_tells_rounds():
    subject = adapter("mlx_decoder", "mlx.core", "mlx_lm").subjects()[0]
    assert_certain(subject)
    _, accepted = subject.run(models_of(certain()), PROMPTS, 6, 3)
    assert all(sum(rounds) + len(rounds) >= 6 for rounds in accepted)


def test_decoder_of_lucidrains__writes_the_only_text():
    assert_certain(adapter("lucidrains_decoder", "torch", "speculative_decoding").subjects()[0])


@pytest.mark.parametrize("index", range(3))
def test_decoder_of_llamacpp__writes_the_only_text(index):
    assert_certain(real_sampler("llamacpp_decoder", "xllamacpp", "gguf").subjects()[index])


@pytest.mark.slow
@pytest.mark.parametrize("index", [1, 2])
def test_decoder_of_openvino__writes_the_only_text(index):
    # Index 0, with a draft model, does not: see examples/confirmations/openvino_draft_model.py.
    libraries = ("openvino_genai", "optimum.exporters.openvino", "torch")
    assert_certain(real_sampler("openvino_decoder", *libraries).subjects()[index])


def test_a_missing_library__is_named_with_its_remedy():
    with pytest.raises(InputError, match="pip install nothing-of-the-kind"):
        load("nothing_of_the_kind.part", package="nothing-of-the-kind")
    assert version("nothing-of-the-kind") == "not installed"
    assert names_version("numpy", "text").startswith("numpy ")
