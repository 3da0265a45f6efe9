"""transformers up to 4.44: the assistant drafts greedily, and is verified as if it had sampled.

``AssistedCandidateGenerator`` of these releases sets ``do_sample`` to False for the assistant and returns
its logits, and ``_speculative_sampling`` accepts by the ratio of target to draft probability, which is
right only for drafts that were drawn from these probabilities (huggingface/transformers#32867). Newer
releases sample, and the script finds no bias there (4.57.6, 5.16.1, 5.23.0).

Needs only ``pip install torch transformers==4.44.2`` and NumPy. Prints observed counts of the first token
against the exact law and exits with 1 when they disagree.
"""

import sys
from importlib.metadata import version

import numpy as np
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM
from transformers.utils import logging

TOKENS, RUNS = 5, 600


def language_model(seed, noise=0.0):
    """Return a random model of one layer; with noise, a disturbed copy of the one without."""
    torch.manual_seed(seed)
    config = GPTNeoXConfig(
        vocab_size=TOKENS,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        initializer_range=0.3,
        max_position_embeddings=64,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    made = GPTNeoXForCausalLM(config).eval()
    with torch.no_grad():
        for weights in made.parameters():
            weights.add_(noise * torch.randn_like(weights))
    return made


def main():
    """Compare the first token with the exact law."""
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    target, draft = language_model(1), language_model(1, noise=0.1)
    draft.generation_config.num_assistant_tokens = 2
    draft.generation_config.num_assistant_tokens_schedule = "constant"
    draft.generation_config.assistant_confidence_threshold = 0.0
    prompt = torch.tensor([[1, 2]])
    with torch.no_grad():
        law = target(prompt).logits[0, -1].double().softmax(-1).numpy()
    torch.manual_seed(0)
    counts = np.zeros(TOKENS)
    for _ in range(RUNS):
        text = target.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            assistant_model=draft,
            do_sample=True,
            top_k=0,
            max_new_tokens=3,
            pad_token_id=0,
        )
        counts[text[0, 2]] += 1
    sigmas = (counts - RUNS * law) / np.sqrt(RUNS * law * (1 - law))
    worst = int(np.abs(sigmas).argmax())
    print(
        f"transformers {version('transformers')}: token {worst}: {int(counts[worst])} of {RUNS},"
        f" exactly {RUNS * law[worst]:.1f}: {sigmas[worst]:+.1f} sigma;"
        f" total variation {np.abs(counts / RUNS - law).sum() / 2:.3f}"
    )
    biased = abs(sigmas[worst]) > 6
    print("biased" if biased else "no bias seen")
    return int(biased)


if __name__ == "__main__":
    sys.exit(main())
