"""OpenVINO GenAI: whole texts by ``ContinuousBatchingPipeline``, with a draft model or by prompt lookup.

The pair's rows are compiled into tiny Llamas (see `compiled_llama`), exported by optimum-intel, and run with
weights, activations and key-value caches in float32.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from functools import partial
from typing import Any

import numpy as np

from benchmarks.real_samplers.compiled_llama import Llama, compile_llama
from specsim.validation.conformance.adapters.libraries import load, names_version
from specsim.validation.conformance.subjects import Subject

PACKAGE = "openvino-genai"
EXPORTER = "optimum-intel[openvino]"
_PROPERTIES = {
    "INFERENCE_PRECISION_HINT": "f32",
    "KV_CACHE_PRECISION": "f32",
    "INFERENCE_NUM_THREADS": 1,
}

# The pipelines of the last pair: (pair, start, folder, pipelines by kind).
_last: list[tuple[Any, int, Any, dict[str, Any]]] = []


def decode(
    models: Any,
    prompts: Any,
    new_tokens: int,
    seed: int,
    *,
    kind: str = "draft",
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
) -> Any:
    """Decode all prompts in one call of the pipeline.

    Parameters
    ----------
    models, prompts, new_tokens, seed
        Of the protocol ``"decoder"``. Every request has a ``rng_seed`` of its own, drawn from `seed`.
    kind
        ``"draft"``: with a draft model. ``"lookup"``: drafts are copied from the text. ``"plain"``: neither.
    temperature, top_k, top_p
        Fields of the generation config.

    Raises
    ------
    InputError
        openvino-genai or optimum-intel is missing, or the pair's rows depend on more than a few last tokens.
    """
    # OpenVINO's converter reports its use over the network, from processes that it forks; without this module
    # it does not.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    genai, openvino = load("openvino_genai", package=PACKAGE), load("openvino", package=PACKAGE)
    pipeline = _pipeline(models, kind)
    prompts = np.asarray(prompts)
    # Texts begin with a token of their own, which never follows; it serves as the end of the text as well.
    first = models.vocabulary
    requests, configs = [], []
    for prompt, own in zip(
        prompts, np.random.default_rng(seed).integers(2**31, size=len(prompts)), strict=True
    ):
        config = genai.GenerationConfig()
        config.do_sample, config.temperature, config.top_p = True, float(temperature), float(top_p)
        if top_k is not None:
            config.top_k = int(top_k)
        config.max_new_tokens, config.rng_seed = int(new_tokens), int(own)
        config.ignore_eos, config.eos_token_id, config.stop_token_ids = True, first, {first}
        if kind != "plain":
            config.num_assistant_tokens = int(models.draft_length)
        if kind == "lookup":
            config.max_ngram_size = 2
        configs.append(config)
        requests.append(openvino.Tensor(np.concatenate([[first], prompt])[None].astype(np.int64)))
    results = pipeline.generate(requests, configs)
    return np.array([result.m_generation_ids[0] for result in results], dtype=np.int64)


def _pipeline(models: Any, kind: str) -> Any:
    if not _last or _last[0][0] is not models.pair or _last[0][1] != models.start:
        folder = tempfile.TemporaryDirectory()
        for side in ("target", "draft"):
            rows = getattr(models.pair, side)[0]
            path = os.path.join(folder.name, side)
            _export(compile_llama(rows, models.pair.next_context, models.start), path)
        _last[:] = [(models.pair, models.start, folder, {})]
    _, _, folder, pipelines = _last[0]
    if kind not in pipelines:
        genai = load("openvino_genai", package=PACKAGE)
        properties: dict[str, Any] = dict(_PROPERTIES)
        if kind == "draft":
            properties["draft_model"] = genai.draft_model(
                os.path.join(folder.name, "draft"), "CPU", scheduler_config=_scheduler(genai), **_PROPERTIES
            )
        if kind == "lookup":
            properties["prompt_lookup"] = True
        pipelines[kind] = genai.ContinuousBatchingPipeline(
            os.path.join(folder.name, "target"), _scheduler(genai), "CPU", properties
        )
    return pipelines[kind]


def _scheduler(genai: Any) -> Any:
    config = genai.SchedulerConfig()
    config.cache_size, config.max_num_batched_tokens, config.max_num_seqs = 1, 4096, 256
    config.enable_prefix_caching = False
    return config


def _export(model: Llama, path: str) -> None:
    """Write a Llama, with a tokenizer that nothing uses but that the pipeline wants, for OpenVINO."""
    torch = load("torch", package="torch")
    transformers = load("transformers", package="transformers")
    exporters = load("optimum.exporters.openvino", package=EXPORTER)
    tokenizers = load("tokenizers", package="tokenizers")
    convert = load("openvino_tokenizers", package="openvino-tokenizers").convert_tokenizer
    openvino = load("openvino", package=PACKAGE)
    config = transformers.LlamaConfig(
        vocab_size=model.vocabulary + 1,
        hidden_size=model.hidden,
        intermediate_size=model.intermediate,
        num_hidden_layers=1,
        num_attention_heads=model.heads,
        num_key_value_heads=model.heads,
        head_dim=model.head_dim,
        rms_norm_eps=model.epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": model.base},
        max_position_embeddings=512,
        tie_word_embeddings=False,
        bos_token_id=model.vocabulary,
        eos_token_id=None,
        pad_token_id=None,
    )
    language_model = transformers.LlamaForCausalLM(config)
    language_model.load_state_dict({name: torch.tensor(values) for name, values in model.weights.items()})
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        exporters.export_from_model(
            language_model.eval(), path, task="text-generation-with-past", stateful=True
        )
    words = ["?", *(f"w{token}" for token in range(model.vocabulary + 1))]
    core = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(vocab={word: place for place, word in enumerate(words)}, unk_token="?")
    )
    core.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    core.normalizer = tokenizers.normalizers.BertNormalizer()
    core.decoder = tokenizers.decoders.WordPiece()
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=core, unk_token="?")
    for converted, name in zip(
        convert(wrapped, with_detokenizer=True), ("openvino_tokenizer", "openvino_detokenizer"), strict=True
    ):
        openvino.save_model(converted, os.path.join(path, f"{name}.xml"))


def _subject(text: str, kind: str) -> Subject:
    return Subject(
        name=names_version(PACKAGE, text),
        protocol="decoder",
        run=partial(decode, kind=kind),
        dtypes=("float32",),
        options=frozenset({"temperature", "top_k", "top_p"}),
        max_vocabulary=15,
    )


def subjects() -> tuple[Subject, ...]:
    """Return the pipeline with a draft model, with prompt lookup, and without speculation, as a control."""
    return (
        _subject("draft model", "draft"),
        _subject("prompt lookup", "lookup"),
        _subject("no speculation", "plain"),
    )
