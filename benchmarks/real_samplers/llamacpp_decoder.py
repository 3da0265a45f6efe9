"""llama.cpp's server, inside the process through xllamacpp: whole texts with a draft model.

The pair's rows are compiled into tiny Llamas (see `compiled_llama`), written as GGUF, and run with key-value
caches in float32.
"""

from __future__ import annotations

import json
import os
import tempfile
from functools import partial
from typing import Any

import numpy as np

from benchmarks.real_samplers.compiled_llama import Llama, compile_llama
from specsim.errors import InputError
from specsim.validation.conformance.adapters.libraries import load, names_version
from specsim.validation.conformance.subjects import Subject

PACKAGE = "xllamacpp"
#: Names of the weights in GGUF, by Hugging Face's.
_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers.0.input_layernorm": "blk.0.attn_norm",
    "model.layers.0.self_attn.q_proj": "blk.0.attn_q",
    "model.layers.0.self_attn.k_proj": "blk.0.attn_k",
    "model.layers.0.self_attn.v_proj": "blk.0.attn_v",
    "model.layers.0.self_attn.o_proj": "blk.0.attn_output",
    "model.layers.0.post_attention_layernorm": "blk.0.ffn_norm",
    "model.layers.0.mlp.gate_proj": "blk.0.ffn_gate",
    "model.layers.0.mlp.up_proj": "blk.0.ffn_up",
    "model.layers.0.mlp.down_proj": "blk.0.ffn_down",
}
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

# The servers of the last pair: (pair, start, draft length, folder, servers by kind).
_last: list[tuple[Any, int, int, Any, dict[str, Any]]] = []


def decode(
    models: Any,
    prompts: Any,
    new_tokens: int,
    seed: int,
    *,
    kind: str = "draft",
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Any:
    """Decode the prompts one after the other.

    Parameters
    ----------
    models, prompts, new_tokens, seed
        Of the protocol ``"decoder"``. Every request has a seed of its own, drawn from `seed`.
    kind
        ``"draft"``: the draft model proposes its likeliest tokens. ``"probabilistic"``: it samples, and the
        option ``probabilistic`` is on. ``"plain"``: no draft.
    temperature, top_k, top_p
        Of the request; the samplers are in the order temperature, top-k, top-p, and no others are on.

    Raises
    ------
    InputError
        xllamacpp or gguf is missing, the vocabulary has more than 15 tokens, or the pair's rows depend on
        more than a few last tokens.
    """
    server = _server(models, kind)
    prompts = np.asarray(prompts)
    samplers = ["temperature"]
    options: dict[str, Any] = {"temperature": float(temperature)}
    if top_k is not None:
        samplers, options = [*samplers, "top_k"], {**options, "top_k": int(top_k)}
    if top_p is not None:
        samplers, options = [*samplers, "top_p"], {**options, "top_p": float(top_p)}
    tokens = np.zeros((len(prompts), new_tokens), np.int64)
    seeds = np.random.default_rng(seed).integers(2**31, size=len(prompts))
    for row, prompt in enumerate(prompts):
        reply = server.handle_completions(
            {
                # Texts begin with a token of their own, which is also the end of a text and never follows.
                "prompt": [models.vocabulary, *(int(token) for token in prompt)],
                "n_predict": int(new_tokens),
                "seed": int(seeds[row]),
                "samplers": samplers,
                "ignore_eos": True,
                "cache_prompt": False,
                "stream": False,
                **options,
            }
        )
        reply = json.loads(reply) if isinstance(reply, str) else reply
        text = reply["choices"][0]["text"]
        tokens[row] = [_LETTERS.index(letter) for letter in text]
    return tokens


def _server(models: Any, kind: str) -> Any:
    key = (models.pair, models.start, models.draft_length)
    if not _last or _last[0][0] is not key[0] or _last[0][1:3] != key[1:]:
        folder = tempfile.TemporaryDirectory()
        for side in ("target", "draft"):
            rows = getattr(models.pair, side)[0]
            _write(
                compile_llama(rows, models.pair.next_context, models.start),
                os.path.join(folder.name, f"{side}.gguf"),
            )
        _last[:] = [(*key, folder, {})]
    folder, servers = _last[0][3:]
    if kind not in servers:
        servers[kind] = _start(folder.name, kind, models.draft_length)
    return servers[kind]


def _start(folder: str, kind: str, draft_length: int) -> Any:
    library = load("xllamacpp", package=PACKAGE)
    full = library.ggml_type.GGML_TYPE_F32
    options = library.CommonParams()
    options.model.path = os.path.join(folder, "target.gguf")
    options.n_parallel, options.n_ctx = 1, 512
    options.cache_type_k = options.cache_type_v = full
    options.n_gpu_layers, options.cache_ram_mib = 0, 0
    options.warmup = options.fit_params = False
    options.verbosity = -1
    options.cpuparams.n_threads = options.cpuparams_batch.n_threads = 1
    if kind != "plain":
        types = library.common_speculative_type
        options.speculative.types = [types.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
        draft = options.speculative.draft
        draft.mparams.path = os.path.join(folder, "draft.gguf")
        draft.n_max, draft.n_min, draft.p_min = draft_length, 0, 0.0
        draft.cache_type_k = draft.cache_type_v = full
        draft.n_gpu_layers = 0
        draft.cpuparams.n_threads = draft.cpuparams_batch.n_threads = 1
        draft.probabilistic = kind == "probabilistic"
    return library.Server(options)


def _write(model: Llama, path: str) -> None:
    gguf = load("gguf", package="gguf")
    words = model.vocabulary + 1
    if words > 16:
        raise InputError(f"rows have {model.vocabulary} tokens; give at most 15")
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("table")
    writer.add_context_length(4096)
    writer.add_embedding_length(model.hidden)
    writer.add_block_count(1)
    writer.add_feed_forward_length(model.intermediate)
    writer.add_head_count(model.heads)
    writer.add_head_count_kv(model.heads)
    writer.add_key_length(model.head_dim)
    writer.add_value_length(model.head_dim)
    writer.add_rope_dimension_count(model.head_dim)
    writer.add_rope_freq_base(model.base)
    writer.add_layer_norm_rms_eps(model.epsilon)
    writer.add_file_type(0)
    writer.add_vocab_size(words)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([*_LETTERS[: model.vocabulary], "<s>"])
    writer.add_token_scores([0.0] * words)
    # Types 1 and 3: a normal token, a control token.
    writer.add_token_types([1] * model.vocabulary + [3])
    writer.add_bos_token_id(model.vocabulary)
    writer.add_eos_token_id(model.vocabulary)
    writer.add_unk_token_id(model.vocabulary)
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    for name, values in model.weights.items():
        stem = name.removesuffix(".weight")
        if stem.endswith(("q_proj", "k_proj")):
            values = _interleaved(values, model.heads)
        writer.add_tensor(f"{_NAMES[stem]}.weight", np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _interleaved(values: Any, heads: int) -> Any:
    """Reorder rows: llama.cpp turns neighbouring dimensions, Hugging Face those half a head apart."""
    half = values.shape[0] // heads // 2
    return values.reshape(heads, 2, half, -1).swapaxes(1, 2).reshape(values.shape)


def _subject(text: str, kind: str) -> Subject:
    return Subject(
        name=names_version(PACKAGE, f"llama.cpp server, {text}"),
        protocol="decoder",
        run=partial(decode, kind=kind),
        dtypes=("float32",),
        options=frozenset({"temperature", "top_k", "top_p"}),
        max_vocabulary=15,
    )


def subjects() -> tuple[Subject, ...]:
    """Return the server with both kinds of draft, and without a draft, as a control."""
    return (
        _subject("draft model", "draft"),
        _subject("draft model, probabilistic", "probabilistic"),
        _subject("no draft", "plain"),
    )
