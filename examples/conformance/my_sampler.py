"""The sampler of docs/test-your-sampler.md."""

import numpy as np


def step(target, draft, drafted, seed):
    """Verify drafts: target (B, K+1, V), draft (B, K, V), drafted (B, K) to tokens (B, K+1), lengths (B,)."""
    if not (np.isfinite(target).all() and np.isfinite(draft).all()):
        raise ValueError("rows must be finite")
    rng = np.random.default_rng(seed)
    batch, length = drafted.shape
    tokens = np.zeros((batch, length + 1), dtype=np.int64)
    lengths = np.zeros(batch, dtype=np.int64)
    for b in range(batch):
        for i, token in enumerate(drafted[b]):
            if rng.random() * draft[b, i, token] < target[b, i, token]:
                tokens[b, i] = token
                continue
            residual = np.maximum(target[b, i] - draft[b, i], 0.0)
            tokens[b, i] = choose(residual, rng)
            lengths[b] = i + 1
            break
        else:
            tokens[b, length] = choose(target[b, length], rng)
            lengths[b] = length + 1
    return tokens, lengths


def choose(weights, rng):
    """Draw an index by weights."""
    return rng.choice(len(weights), p=weights.astype(np.float64) / weights.sum(dtype=np.float64))
