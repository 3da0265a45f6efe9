"""Cached, batched, ragged decoding of transformers architectures reads the rows of an uncached forward."""

from __future__ import annotations

import os
from typing import Any

import pytest

from specsim import Autoregressive, Batch, BlockVerification, OverAcceptance, Speculative, get_rule, tree
from specsim.errors import InputError

if os.environ.get("SPECSIM_REQUIRE_ALL") != "1":
    pytest.importorskip("torch", reason="the extra torch is not installed")
    pytest.importorskip("transformers", reason="the extra torch is not installed")

import torch
import transformers

from specsim.models import LoadedPair, decode

VOCABULARY = 40
PROMPTS = [[1, 2, 3], [4], [7, 8, 9, 10, 11, 3], [5, 5]]
NEW = 10

SIZES = {
    "GPTNeoX": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48},
    "Llama": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 48,
    },
    "Mistral": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 48,
    },
    "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "OPT": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 48,
        "word_embed_proj_dim": 32,
    },
    "Qwen2": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 1,
        "intermediate_size": 48,
    },
}  # fmt: skip
LIMIT = {"GPT2": "n_positions"}


def model(kind: str, seed: int, *, limit: int = 64, attention: str = "sdpa", **options: Any) -> Any:
    """A tiny random model whose rows are far from uniform and depend on everything before them."""
    config_class = getattr(transformers, f"{kind}Config")
    class_name = {"GPT2": "GPT2LMHeadModel"}.get(kind, f"{kind}ForCausalLM")
    sizes = {**SIZES[kind], LIMIT.get(kind, "max_position_embeddings"): limit, **options}
    torch.manual_seed(seed)
    config = config_class(
        vocab_size=VOCABULARY, initializer_range=0.3, bos_token_id=0, eos_token_id=0, pad_token_id=None,
        attn_implementation=attention, **sizes,
    )  # fmt: skip
    return getattr(transformers, class_name)(config).double().eval()


def pair(kind: str, **options: Any) -> LoadedPair:
    return LoadedPair(target=model(kind, 1, **options), draft=model(kind, 2, **options))


@torch.no_grad()
def uncached(language_model: Any, ids: list[int], last: int) -> torch.Tensor:
    """The rows after each of the last tokens."""
    return language_model(torch.tensor([ids]), use_cache=False).logits[0, -last:].softmax(-1)


def largest_error(
    models: LoadedPair, algorithm: Any, prompts: list[list[int]], new_tokens: int, **options: Any
) -> float:
    """The largest difference, over all rows that a decoding used, from those of an uncached forward."""
    shown: list[Any] = []
    decoded = decode(
        models, prompts, algorithm=algorithm, new_tokens=new_tokens, seed=3, record=shown.append, **options
    )
    emitted: dict[int, list[int]] = {number: [] for number in range(len(prompts))}
    worst, rows = 0.0, 0
    for record in shown:
        for row, number in enumerate(record.sequences.tolist()):
            path = record.draft_tokens[row, record.path[row] - 1].tolist()
            accepted, first = int(record.accepted[row]), int(record.first[row])
            ids = prompts[number] + emitted[number] + path[:accepted]
            inside = min(accepted + 1, record.target_rows.shape[1], new_tokens + 1 - first)
            drafted = min(accepted + 1, int(record.drafted[row]))
            for language_model, used in (
                (models.target, record.target_rows[row, :inside]),
                (models.draft, record.draft_rows[row, :drafted]),
            ):
                if len(used):
                    error = uncached(language_model, ids, accepted + 1)[: len(used)] - used
                    worst, rows = max(worst, float(error.abs().max())), rows + len(used)
            emitted[number] += record.tokens[row, : record.count[row]].tolist()
    assert list(emitted.values()) == decoded.tokens
    assert rows >= len(prompts) * new_tokens
    return worst


ALGORITHMS = [
    Autoregressive(),
    Speculative(draft_length=3),
    Speculative(draft_length=3, bonus=False),
    Speculative(),
    OverAcceptance(epsilon=0.2, draft_length=2, bonus=True),
    Batch(drafts=3, draft_length=3, bonus=True),
    Batch(drafts=2, draft_length=4, bonus=False),
    BlockVerification(draft_length=3),
    get_rule("traversal")(tree=(2, 2, 1)),
    get_rule("summed-coin")(tree=tree((-1, 0, 0, 0, 1, 1, 2, 5)), drawn="greedy"),
]


def on_two_architectures() -> Any:
    """The fast tests have a chain, paths and a tree on the one, and the others on the other."""
    for number, algorithm in enumerate(ALGORITHMS):
        for kind in ("GPTNeoX", "Llama"):
            slow = (kind == "GPTNeoX") != (number in (1, 6, 8))
            marks = [pytest.mark.slow] if slow else []
            yield pytest.param(kind, algorithm, id=f"{kind}-{algorithm.label}", marks=marks)


@pytest.mark.parametrize(("kind", "algorithm"), list(on_two_architectures()))
def test_rows__of_every_rule__are_those_of_an_uncached_forward(kind, algorithm):
    assert largest_error(pair(kind), algorithm, PROMPTS, NEW) < 1e-12


@pytest.mark.parametrize(
    ("kind", "attention"),
    [
        *((kind, "sdpa") for kind in ("GPT2", "OPT", "Qwen2")),
        ("GPTNeoX", "eager"),
        pytest.param("GPTNeoX", "sdpa", marks=pytest.mark.slow),
        *(pytest.param(kind, "eager", marks=pytest.mark.slow) for kind in ("GPT2", "OPT", "Qwen2")),
    ],
)
def test_rows__of_other_architectures_and_attentions(kind, attention):
    models = pair(kind, attention=attention)
    # The eager attention of transformers takes its softmax in float32.
    tolerance = 1e-12 if attention == "sdpa" else 3e-6
    for algorithm in (Speculative(draft_length=3), Batch(drafts=2, draft_length=2, bonus=True)):
        assert largest_error(models, algorithm, PROMPTS[:3], 8) < tolerance


def test_rows__differ_when_a_mask_shows_what_was_rejected(monkeypatch):
    # The check above is no check that cannot fail.
    from specsim.models.caches import CachedModel

    original = CachedModel._forward

    def shows(self: Any, tokens: Any, positions: Any, seen: Any, keep: int) -> Any:
        return original(self, tokens, positions, torch.ones_like(seen), keep)

    monkeypatch.setattr(CachedModel, "_forward", shows)
    assert largest_error(pair("Llama"), Speculative(draft_length=3), PROMPTS, NEW) > 1e-3


@pytest.mark.parametrize("kind", ["GPT2", "Llama"])
def test_rows__up_to_the_last_position_that_a_model_knows(kind):
    models = pair(kind, limit=15)
    for algorithm in (Speculative(draft_length=5), Batch(drafts=2, draft_length=5, bonus=False)):
        assert largest_error(models, algorithm, PROMPTS, 9) < 1e-12
    with pytest.raises(InputError, match="ask for at most 9"):
        decode(models, PROMPTS, algorithm=Speculative(draft_length=5), new_tokens=10, seed=1)


def test_rows__within_a_sliding_window_and_not_beyond():
    models = pair("Mistral", sliding_window=15)
    assert largest_error(models, Speculative(draft_length=3), PROMPTS, 9) < 1e-12
    with pytest.raises(InputError, match="context of 15"):
        decode(models, PROMPTS, algorithm=Speculative(draft_length=3), new_tokens=10, seed=1)


def test_tokens__are_the_same_alone_and_in_a_batch():
    models = pair("GPTNeoX")
    for algorithm in (Speculative(draft_length=3), Batch(drafts=2, draft_length=3, bonus=True)):
        options: dict[str, Any] = {"algorithm": algorithm, "new_tokens": 12, "seed": 5}
        together = decode(models, PROMPTS, **options)
        alone = [decode(models, [ids], first_sequence=n, **options) for n, ids in enumerate(PROMPTS)]
        assert together.tokens == [one.tokens[0] for one in alone]
        assert together.accepted_lengths == [one.accepted_lengths[0] for one in alone]


def test_equal_models__accept_everything_up_to_rounding():
    one = model("Llama", 1)
    models = LoadedPair(target=one, draft=one)
    decoded = decode(models, PROMPTS, algorithm=Speculative(draft_length=4), new_tokens=15, seed=1)
    assert decoded.rejections.sum() == 0
    assert decoded.accepted_lengths == [[4, 4, 4]] * len(PROMPTS)
    assert decoded.bonus_positions == [[5, 10, 15]] * len(PROMPTS)


def test_half_precision__is_verified_in_float32():
    models = LoadedPair(target=model("Llama", 1).bfloat16(), draft=model("Llama", 2).bfloat16())
    shown: list[Any] = []
    decode(models, PROMPTS, algorithm=Speculative(draft_length=2), new_tokens=6, seed=1, record=shown.append)
    for record in shown:
        assert record.target_rows.dtype == record.draft_rows.dtype == torch.float32
        torch.testing.assert_close(
            record.target_rows.sum(-1), torch.ones(record.target_rows.shape[:-1]), atol=1e-5, rtol=0
        )


def test_memory__of_the_caches_is_what_was_stated():
    models = pair("Llama")
    decoded = decode(models, PROMPTS, algorithm=Speculative(draft_length=3), new_tokens=NEW, seed=1)
    # 2 models, keys and values, 2 layers, 2 heads of 8 numbers of 8 bytes, 4 sequences.
    assert decoded.memory.caches == 2 * 2 * 2 * 2 * 8 * 8 * 4 * (6 + NEW + 3 + 1)
    weights = sum(p.numel() * 8 for m in (models.target, models.draft) for p in m.parameters())
    assert decoded.memory.weights >= weights


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("Bloom", {"n_layer": 1, "n_head": 2}, "counts positions by itself"),
        ("Mamba", {"num_hidden_layers": 1}, "cannot be rolled back"),
        (
            "GPTNeo",
            {"num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]]},
            "local attention",
        ),
    ],
)
def test_models_that_cannot_be_rolled_back__are_refused(kind, options, words):
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=0, **options
    )
    other = getattr(transformers, f"{kind}ForCausalLM")(config)
    with pytest.raises(InputError, match=words):
        LoadedPair(target=other, draft=other)


def test_pair__of_different_vocabularies_is_refused():
    config = transformers.LlamaConfig(**{**SIZES["Llama"], "vocab_size": 41, "pad_token_id": None})
    target, draft = transformers.LlamaForCausalLM(config), model("Llama", 2)
    with pytest.raises(InputError, match="draft has 40 tokens and target 41"):
        LoadedPair(target=target, draft=draft)
