"""mlx-lm: logits processors of speculative generation see only the last token of the prompt.

``generate_step`` gives a logits processor the whole text, prompt included. The record of the text that
``speculative_generate_step`` keeps (``prev_tokens``) begins with the last token of the prompt: a repetition
penalty spares what stood earlier in the prompt, and the output law is not that of plain generation.

Needs only ``pip install mlx-lm "mlx[cpu]"``. Prints observed counts against the exact law of plain generation
(by enumeration) and exits with 1 when they disagree.
"""

import sys
from importlib.metadata import version

import mlx.core as mx
import numpy as np
from mlx_lm.generate import generate_step, speculative_generate_step
from mlx_lm.sample_utils import make_repetition_penalty, make_sampler

TOKENS, PROMPT, PENALTY, RUNS = 4, [0, 1, 2], 2.0, 4000
GENERATOR = np.random.default_rng(7)
# Positive logits of the token after each token; the penalty divides those of tokens that have been seen.
TARGET = GENERATOR.uniform(0.5, 2.0, (TOKENS, TOKENS)).astype(np.float32)
DRAFT = GENERATOR.uniform(0.5, 2.0, (TOKENS, TOKENS)).astype(np.float32)


class Table:
    """A model of one layer: the logits of the next token are a row of a table."""

    layers = (None,)

    def __init__(self, rows):
        self.rows = mx.array(rows)

    def __call__(self, tokens, cache=None):
        """Return logits for tokens of shape (1, n), and record them in the cache."""
        keys = tokens[:, None, :, None].astype(mx.float32)
        cache[0].update_and_fetch(keys, keys)
        return self.rows[tokens]


def exact():
    """Return the law of the first two tokens of plain generation."""
    law = np.zeros((TOKENS, TOKENS))
    for first in range(TOKENS):
        for second in range(TOKENS):
            text, chance = list(PROMPT), 1.0
            for token in (first, second):
                row = TARGET[text[-1]].astype(np.float64)
                row[list(set(text))] /= PENALTY
                weights = np.exp(row)
                chance *= weights[token] / weights.sum()
                text.append(token)
            law[first, second] = chance
    return law


def observed(steps):
    """Return the counts of the first two tokens over the runs."""
    counts = np.zeros((TOKENS, TOKENS))
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
        f" total variation {np.abs(counts / RUNS - law).sum() / 2:.3f}"
    )
    return abs(sigmas[worst])


def main():
    """Compare both ways of generating with the exact law of the plain one."""
    print(f"mlx-lm {version('mlx-lm')}, repetition penalty {PENALTY}, prompt {PROMPT}")
    mx.random.seed(1)
    prompt, target, draft = mx.array(PROMPT), Table(TARGET), Table(DRAFT)
    options = {
        "max_tokens": 2,
        "sampler": make_sampler(1.0),
        "logits_processors": [make_repetition_penalty(PENALTY)],
    }
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
