"""OpenVINO GenAI: sampling with a draft model has another law than sampling without.

By ``src/cpp/src/sampling/sampler.cpp`` (``validate_candidate``, ``sample_from_sequence_group``): a drafted
token x is accepted when a coin, a multiple of 1/100, is at most draft(x) / target(s), where s is a fresh
sample of the target and not x; after a rejection the loop goes on to the next row, so the replacing token
is drawn from the row after the rejected token (openvinotoolkit/openvino.genai#4190); and the draft's
generator and the target's are seeded alike, so that the first draft repeats the coin of the first token.
The first token itself is drawn before any draft exists: it is the control, and so is a pipeline without a
draft model.

Needs ``pip install openvino-genai "optimum-intel[openvino]"``. Prints observed counts of the first two
tokens against the exact law (the model run on every text) and exits with 1 when they disagree.
"""

import contextlib
import os
import sys
import tempfile
from importlib.metadata import version

# OpenVINO's converter reports its use over the network; without this module it does not.
sys.modules["openvino_telemetry"] = None

import numpy as np  # noqa: E402
import openvino  # noqa: E402
import openvino_genai  # noqa: E402
import torch  # noqa: E402
from openvino_tokenizers import convert_tokenizer  # noqa: E402
from optimum.exporters.openvino import export_from_model  # noqa: E402
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: E402

TOKENS, PROMPT, RUNS, BATCH = 5, [1, 2], 4000, 500
PROPERTIES = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}


def language_model(seed):
    """Return a random Llama of one layer."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=TOKENS,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        head_dim=16,
        initializer_range=0.3,
        max_position_embeddings=64,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    return LlamaForCausalLM(config).eval()


def export(model, folder):
    """Write a model, with a tokenizer that is not used but asked for."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        export_from_model(model, folder, task="text-generation-with-past", stateful=True)
    core = Tokenizer(models.WordPiece(vocab={"?": 0, "a": 1}, unk_token="?"))
    core.normalizer, core.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="?")
    names = ("openvino_tokenizer.xml", "openvino_detokenizer.xml")
    for converted, name in zip(convert_tokenizer(wrapped, with_detokenizer=True), names, strict=True):
        openvino.save_model(converted, os.path.join(folder, name))


def scheduler():
    """Return a scheduler's configuration with room for a batch."""
    config = openvino_genai.SchedulerConfig()
    config.cache_size, config.max_num_batched_tokens, config.max_num_seqs = 1, 4096, 256
    return config


def request(seed, drafted):
    """Return a request's configuration; the end of the text is a token that does not exist."""
    config = openvino_genai.GenerationConfig()
    config.do_sample, config.max_new_tokens, config.rng_seed = True, 3, seed
    config.ignore_eos, config.eos_token_id, config.stop_token_ids = True, TOKENS, {TOKENS}
    if drafted:
        config.num_assistant_tokens = 2
    return config


def worst(title, pipeline, law, *, drafted):
    """Decode, print the worst outcomes, and return the distances in sigmas of one token and of two."""
    pairs = np.zeros((TOKENS, TOKENS))
    seeds = iter(np.random.default_rng(0).integers(2**31, size=RUNS).tolist())
    for _ in range(RUNS // BATCH):
        prompts = [openvino.Tensor(np.array([PROMPT], np.int64)) for _ in range(BATCH)]
        for found in pipeline.generate(prompts, [request(next(seeds), drafted) for _ in range(BATCH)]):
            pairs[tuple(found.m_generation_ids[0][:2])] += 1
    found = []
    for name, counts, wanted in (
        ("first token", pairs.sum(axis=1), law.sum(axis=1)),
        ("first two", pairs.ravel(), law.ravel()),
    ):
        sigmas = (counts - RUNS * wanted) / np.sqrt(RUNS * wanted * (1 - wanted))
        sigmas[RUNS * wanted < 5] = 0.0
        place = int(np.abs(sigmas).argmax())
        print(
            f"{title}, {name}: outcome {place}: {int(counts[place])} of {RUNS},"
            f" exactly {RUNS * wanted[place]:.1f}: {sigmas[place]:+.1f} sigma;"
            f" total variation {np.abs(counts / RUNS - wanted).sum() / 2:.3f}"
        )
        found.append(abs(sigmas[place]))
    return found


def main():
    """Compare pipelines with and without a draft model with the exact law."""
    target, draft = language_model(1), language_model(2)
    texts = torch.tensor([[*PROMPT, token] for token in range(TOKENS)])
    with torch.no_grad():
        rows = target(texts).logits.double().softmax(-1).numpy()
    law = rows[0, 1][:, None] * rows[:, 2]
    print(f"openvino-genai {version('openvino-genai')}")
    with tempfile.TemporaryDirectory() as folder:
        for name, model in (("target", target), ("draft", draft)):
            export(model, os.path.join(folder, name))
        plain = openvino_genai.ContinuousBatchingPipeline(
            os.path.join(folder, "target"), scheduler(), "CPU", PROPERTIES
        )
        control = worst("no draft model  ", plain, law, drafted=False)
        second = openvino_genai.draft_model(
            os.path.join(folder, "draft"), "CPU", scheduler_config=scheduler(), **PROPERTIES
        )
        speculative = openvino_genai.ContinuousBatchingPipeline(
            os.path.join(folder, "target"), scheduler(), "CPU", {**PROPERTIES, "draft_model": second}
        )
        biased = worst("with draft model", speculative, law, drafted=True)
    print("biased" if biased[1] > 6 else "no bias seen")
    return 1 if biased[1] > 6 and max(control) < 6 and biased[0] < 6 else 0


if __name__ == "__main__":
    sys.exit(main())
