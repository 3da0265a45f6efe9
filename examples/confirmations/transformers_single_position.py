"""transformers: Gemma 4 assistants draft by argmax, and are verified as if they had sampled.

With ``do_sample=True`` too, ``SinglePositionMultiTokenCandidateGenerator.get_candidates`` takes the
``argmax`` of the assistant's logits, and returns the logits. ``_speculative_sampling`` then accepts by the
ratio of target to draft probability and draws from their difference, which is right only for drafts drawn
from these probabilities (huggingface/transformers#47932, which also names DFlash; that one was changed
since).

Needs only ``pip install torch transformers`` (5.16.1; 5.23.0 has the same generator, but refuses to build
any Gemma 4 assistant). Prints observed counts of the first two tokens against the exact law and exits with
1 when they disagree. The first token is drawn before any draft exists and is the control.
"""

import sys
from importlib.metadata import version

import numpy as np
import torch
from transformers import (
    Gemma4AssistantConfig,
    Gemma4AssistantForCausalLM,
    Gemma4ForCausalLM,
    Gemma4TextConfig,
)
from transformers.utils import logging

TOKENS, RUNS = 6, 1500


def text_config(**changes):
    """Return the configuration of a tiny model with one layer of each kind of attention."""
    options = {
        "vocab_size": TOKENS,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "global_head_dim": 8,
        "sliding_window": 16,
        "layer_types": ["sliding_attention", "full_attention"],
        "max_position_embeddings": 64,
        "initializer_range": 0.4,
        "hidden_size_per_layer_input": 0,
        "vocab_size_per_layer_input": 0,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": 0,
    }
    return Gemma4TextConfig(**(options | changes))


def main():
    """Compare the first two tokens with the exact law."""
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.manual_seed(3)
    target = Gemma4ForCausalLM(text_config()).eval()
    config = Gemma4AssistantConfig(
        text_config=text_config(num_kv_shared_layers=2), backbone_hidden_size=16, tie_word_embeddings=False
    )
    try:
        draft = Gemma4AssistantForCausalLM(config).eval()
    except ValueError as error:
        print(f"transformers {version('transformers')} cannot build an assistant, not run: {error}")
        return 0
    draft.generation_config.num_assistant_tokens = 2
    draft.generation_config.num_assistant_tokens_schedule = "constant"

    prompt = torch.tensor([[1, 2]])
    texts = torch.cat([prompt.expand(TOKENS, 2), torch.arange(TOKENS)[:, None]], dim=1)
    with torch.no_grad():
        rows = target(texts).logits.double().softmax(-1).numpy()
    law = rows[0, 1][:, None] * rows[:, 2]

    torch.manual_seed(0)
    counts = np.zeros((TOKENS, TOKENS))
    for _ in range(RUNS):
        text = target.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            assistant_model=draft,
            do_sample=True,
            top_k=0,
            max_new_tokens=4,
            pad_token_id=0,
        )
        counts[text[0, 2], text[0, 3]] += 1

    print(f"transformers {version('transformers')}, {type(draft).__name__}")
    found = []
    for title, seen, wanted in (
        ("first token ", counts.sum(axis=1), law.sum(axis=1)),
        ("first two   ", counts.ravel(), law.ravel()),
    ):
        sigmas = (seen - RUNS * wanted) / np.sqrt(RUNS * wanted * (1 - wanted))
        sigmas[RUNS * wanted < 5] = 0.0
        worst = int(np.abs(sigmas).argmax())
        print(
            f"{title}: outcome {worst}: {int(seen[worst])} of {RUNS}, exactly {RUNS * wanted[worst]:.1f}:"
            f" {sigmas[worst]:+.1f} sigma; total variation {np.abs(seen / RUNS - wanted).sum() / 2:.3f}"
        )
        found.append(abs(sigmas[worst]))
    print("biased" if found[1] > 6 else "no bias seen")
    return 1 if found[1] > 6 and found[0] < 6 else 0


if __name__ == "__main__":
    sys.exit(main())
