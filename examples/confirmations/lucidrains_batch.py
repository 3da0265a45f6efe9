"""lucidrains speculative-decoding: the padding of ragged batches is attended to.

In a batch the texts advance by different lengths and are padded on the left. ``Decoder.forward`` computes
which positions are padding (``self_attn_kv_mask``), but the layers of the main body are called without it,
so that rows depend on what stands in the padding once the lengths differ. A batch of one text has no
padding and is the control; the first token of a batch is right as well.

Needs only ``pip install torch speculative-decoding``. Prints observed counts of the first two tokens
against the exact law (the model run on every text) and exits with 1 when they disagree.
"""

import sys
from importlib.metadata import version

import numpy as np
import torch
from speculative_decoding.speculative_decoding import Decoder, speculative_decoding

TOKENS = 5
PROMPT = torch.tensor([[1, 2, 3]])


def decoder(seed):
    """Return a random model of one layer."""
    torch.manual_seed(seed)
    made = Decoder(num_tokens=TOKENS, dim=16, depth=1, heads=2, dim_head=8)
    with torch.no_grad():
        for weights in made.parameters():
            if weights.dim() > 1:
                weights.normal_(0.0, 0.6)
    return made.eval()


def worst(title, law, target, draft, *, batch, runs):
    """Decode, print the pair of tokens that is furthest off, and return its distance in sigmas."""
    torch.manual_seed(5)
    counts = np.zeros(TOKENS**2)
    for _ in range(0, runs, batch):
        prompts = PROMPT.repeat(batch, 1)
        texts, _ = speculative_decoding(
            target, draft, prompts, prompts.shape[1] + 2, gamma=2, filter_thres=0.0
        )
        counts += np.bincount((texts[:, 0] * TOKENS + texts[:, 1]).numpy(), minlength=TOKENS**2)
    sigmas = (counts - runs * law) / np.sqrt(runs * law * (1 - law))
    sigmas[runs * law < 5] = 0.0
    pair = int(np.abs(sigmas).argmax())
    print(
        f"{title}: tokens {divmod(pair, TOKENS)}: {int(counts[pair])} of {runs},"
        f" exactly {runs * law[pair]:.1f}: {sigmas[pair]:+.1f} sigma;"
        f" total variation {np.abs(counts / runs - law).sum() / 2:.3f}"
    )
    return abs(sigmas[pair])


def main():
    """Compare batches of one and of many texts with the exact law."""
    torch.set_num_threads(1)
    target, draft = decoder(1), decoder(2)
    texts = torch.cat([PROMPT.repeat(TOKENS, 1), torch.arange(TOKENS)[:, None]], dim=1)
    with torch.no_grad():
        rows = target(texts).double().softmax(-1).numpy()
    law = (rows[0, 2][:, None] * rows[:, 3]).ravel()
    print(f"speculative-decoding {version('speculative-decoding')}")
    control = worst("batches of 1 ", law, target, draft, batch=1, runs=500)
    biased = worst("batches of 50", law, target, draft, batch=50, runs=5000)
    print("biased" if biased > 6 else "no bias seen")
    return 1 if biased > 6 and control < 6 else 0


if __name__ == "__main__":
    sys.exit(main())
