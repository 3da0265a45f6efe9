"""mlx-lm: speculative generation uses one XTC coin for a whole round.

XTC drops the likeliest tokens of a row with some probability, by a coin of its own for every token.
``speculative_generate_step`` gives the sampler the rows of a whole round at once, and ``apply_xtc`` draws one
coin for all of them. The first token has the right law; those after it in the round depend on its coin.

Needs only ``pip install mlx-lm "mlx[cpu]"``. Prints observed counts against the exact joint law of the first
two tokens (by enumeration) and exits with 1 when they disagree.
"""

import sys
from importlib.metadata import version

import mlx.core as mx
import numpy as np
from mlx_lm.generate import generate_step, speculative_generate_step
from mlx_lm.sample_utils import make_sampler

RUNS, CHANCE, THRESHOLD = 3000, 0.5, 0.2
#: Rows do not depend on the text: by the joint law tokens are independent.
ROW, DRAFT_ROW = np.array([0.6, 0.4]), np.array([0.9, 0.1])


class Table:
    """A model of one layer whose next-token law is always the same."""

    layers = (None,)

    def __init__(self, row):
        self.row = mx.array(np.log(row).astype(np.float32))

    def __call__(self, tokens, cache=None):
        """Return logits for tokens of shape (1, n), and record them in the cache."""
        keys = tokens[:, None, :, None].astype(mx.float32)
        cache[0].update_and_fetch(keys, keys)
        return mx.broadcast_to(self.row, (*tokens.shape, self.row.size))


def exact():
    """Return the law of two tokens: XTC drops all tokens above the threshold but the least likely of them."""
    dropped = min(mass for mass in ROW if mass > THRESHOLD) < ROW
    kept = np.where(dropped, 0.0, ROW)
    single = (1 - CHANCE) * ROW + CHANCE * kept / kept.sum()
    return single[:, None] * single[None, :]


def observed(steps):
    """Return the counts of the first two tokens over the runs."""
    counts = np.zeros((len(ROW), len(ROW)))
    for _ in range(RUNS):
        first, second = (int(step[0]) for step in steps())
        counts[first, second] += 1
    return counts


def compare(title, counts, law):
    """Print the worst pair of tokens and return its distance in standard deviations."""
    sigmas = (counts - RUNS * law) / np.sqrt(RUNS * law * (1 - law))
    worst = np.unravel_index(np.abs(sigmas).argmax(), law.shape)
    print(
        f"{title}: tokens {tuple(int(t) for t in worst)}: {int(counts[worst])} of {RUNS}, exactly"
        f" {RUNS * law[worst]:.1f}: {sigmas[worst]:+.1f} sigma;"
        f" total variation of the pair {np.abs(counts / RUNS - law).sum() / 2:.3f},"
        f" of the second token {np.abs((counts / RUNS - law).sum(axis=0)).sum() / 2:.3f}"
    )
    return abs(sigmas[worst])


def main():
    """Compare both ways of generating with the exact law of independent coins."""
    print(f"mlx-lm {version('mlx-lm')}, XTC probability {CHANCE}, threshold {THRESHOLD}")
    mx.random.seed(1)
    prompt, target, draft = mx.array([0]), Table(ROW), Table(DRAFT_ROW)
    sampler = make_sampler(1.0, xtc_probability=CHANCE, xtc_threshold=THRESHOLD)
    options = {"max_tokens": 2, "sampler": sampler}
    law = exact()
    plain = compare("plain      ", observed(lambda: generate_step(prompt, target, **options)), law)
    speculative = compare(
        "speculative",
        observed(lambda: speculative_generate_step(prompt, target, draft, num_draft_tokens=2, **options)),
        law,
    )
    print("biased" if speculative > 6 else "no bias seen")
    return 1 if speculative > 6 and plain < 6 else 0


if __name__ == "__main__":
    sys.exit(main())
