"""litgpt: its speculative ``generate`` leaves out the first token, and samples at temperature 0.

``generate`` of ``litgpt.generate.speculative_decoding`` draws a token from the prompt's last row and feeds
it to the first round, but its list of tokens begins with what that round returns: the first token of the
output is the second of the text. At temperature 0 the draft is an argmax, while the ratio of acceptance
uses untruncated softmax rows, so that the output is not the target's likeliest token.

Needs only ``pip install litgpt``. Prints observed counts of the first token against the exact law (the
model run on every text) and exits with 1 when they disagree.
"""

import sys
from importlib.metadata import version

import numpy as np
import torch
from litgpt.config import Config
from litgpt.generate.speculative_decoding import generate
from litgpt.model import GPT

TOKENS, PROMPT, RUNS = 5, torch.tensor([1, 2, 3]), 1500


def language_model(seed):
    """Return a random model of one layer."""
    torch.manual_seed(seed)
    config = Config(
        name="tiny",
        block_size=32,
        vocab_size=TOKENS,
        padded_vocab_size=TOKENS,
        n_layer=1,
        n_head=2,
        n_embd=16,
        intermediate_size=16,
    )
    made = GPT(config).eval()
    with torch.no_grad():
        for weights in made.parameters():
            if weights.dim() > 1:
                weights.normal_(0.0, 0.6)
    return made


def sigmas(counts, law):
    """Return the distances of counts from a law in standard deviations."""
    runs = counts.sum()
    return (counts - runs * law) / np.sqrt(runs * law * (1 - law))


def main():
    """Compare the first token with the law of the first and of the second."""
    torch.set_num_threads(1)
    target, draft = language_model(1), language_model(2)
    with torch.no_grad():
        rows = target(torch.stack([torch.cat([PROMPT, torch.tensor([x])]) for x in range(TOKENS)]))
    rows = rows.double().softmax(-1).numpy()
    first = rows[0, 2]
    second = first @ rows[:, 3]
    for model in (target, draft):
        model.max_seq_length = 12
        model.set_kv_cache(batch_size=1)
    print(f"litgpt {version('litgpt')}")
    torch.manual_seed(0)
    options = {"speculative_k": 2, "include_prompt": False}
    counts, cold = np.zeros(TOKENS), np.zeros(TOKENS)
    for _ in range(RUNS):
        counts[generate(draft, target, PROMPT, 7, **options)[0][0]] += 1
    for _ in range(RUNS // 5):
        cold[generate(draft, target, PROMPT, 7, temperature=0.0, **options)[0][0]] += 1
    off, shifted = sigmas(counts, first), sigmas(counts, second)
    worst = int(np.abs(off).argmax())
    print(
        f"temperature 1: token {worst}: {int(counts[worst])} of {RUNS}, exactly {RUNS * first[worst]:.1f}:"
        f" {off[worst]:+.1f} sigma; {np.abs(shifted).max():.1f} at most against the law of the second token"
    )
    print(f"temperature 0: counts of the first token {cold.astype(int).tolist()}; one of them should be all")
    biased = abs(off[worst]) > 6 or (cold > 0).sum() > 1
    print("biased" if biased else "no bias seen")
    return int(biased)


if __name__ == "__main__":
    sys.exit(main())
