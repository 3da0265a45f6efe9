"""A step with a penalty, a seed for each row, an end of text and a report: what each is called.

``specsim conform examples/conformance/asked.py:subject --effort quick``
"""

import numpy as np

from specsim.testing import Subject

COST = 0.5


def process(tokens, rows):
    """Say what `step` does to rows: every earlier occurrence of a token halves it."""
    counts = (tokens[:, :, None] == np.arange(rows.shape[1])).sum(axis=1)
    return rows * COST**counts


def step(target, draft, drafted, seed, seeds=None, eos=None):
    """Verify drafts by min(1, target / draft) on rows with the penalty; report log-probabilities."""
    if not (np.isfinite(target).all() and np.isfinite(draft).all()):
        raise ValueError("rows must be finite")
    batch, length = drafted.shape
    size = (length + 1, 2)
    if seeds is None:
        uniforms = np.random.default_rng(seed).random((batch, *size))
    else:
        uniforms = np.stack([np.random.default_rng(int(own)).random(size) for own in seeds])
    every = np.arange(batch)
    tokens, lengths = np.zeros((batch, length + 1), dtype=np.int64), np.zeros(batch, dtype=np.int64)
    count = np.zeros(batch, dtype=np.int64)
    logprobs, counts, going = np.zeros(tokens.shape), np.zeros((batch, target.shape[2])), np.full(batch, True)
    for i in range(length + 1):
        rows = penalised(target[:, i], counts)
        left, accepted = rows, np.full(batch, False)
        if i < length:
            token, read = drafted[:, i], penalised(draft[:, i], counts)
            accepted = uniforms[:, i, 0] * read[every, token] < rows[every, token]
            residual = np.maximum(rows - read, 0.0)
            left = np.where(residual.sum(axis=1, keepdims=True) > 0, residual, rows)
        sums = left.cumsum(axis=1)
        drawn = (sums <= uniforms[:, i, 1, None] * sums[:, -1:]).sum(axis=1)
        tokens[:, i] = np.where(accepted, drafted[:, min(i, length - 1)], drawn)
        with np.errstate(divide="ignore"):
            logprobs[:, i] = np.log(rows[every, tokens[:, i]])
        lengths += going
        count += going & accepted  # an accepted end of text counts, too
        going &= accepted & (tokens[:, i] != eos)
        counts[every, tokens[:, i]] += 1
    return tokens, lengths, {"logprobs": logprobs, "accepted": count}


def penalised(rows, counts):
    """Divide by 2 for every occurrence, in float64."""
    weights = rows.astype(np.float64) * COST**counts
    return weights / weights.sum(axis=1, keepdims=True)


subject = Subject(
    name="step with a penalty",
    protocol="step",
    run=step,
    options=frozenset({"seeds", "eos"}),
    process=process,
)
