"""What requests ask for besides tokens, as samplers carry it out: processing, filters, noise, reports.

Written apart from the oracle's own texts of the same things.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.zoo.sampling import Floats, Integers

#: A bias of logits by token, repeated over the vocabulary, and what every occurrence of a token costs.
BIAS, PENALTY = (0.6, -0.5, 0.0, 0.9), 1.2


def biases(vocabulary: int) -> Floats:
    """Return the bias of every token."""
    return np.resize(np.array(BIAS), vocabulary)


def declared(tokens: Integers, rows: Floats) -> Floats:
    """Say what the samplers do to rows: a bias, a penalty on frequency, and no token twice running."""
    vocabulary = rows.shape[1]
    counts = (tokens[:, :, None] == np.arange(vocabulary)).sum(axis=1)
    weights = rows * np.exp(biases(vocabulary) - PENALTY * counts)
    if tokens.shape[1]:
        weights[np.arange(len(tokens)), tokens[:, -1]] = 0.0
    return weights


def processed(rows: Floats, counts: Floats, last: Integers) -> Floats:
    """Do it to a row of every text, in logits, given how often it has each token ``(B, V)``, and its last.

    A last token of -1 says that nothing was written.
    """
    with np.errstate(divide="ignore"):
        logits = np.log(rows) + biases(rows.shape[1]) - PENALTY * counts
    written = np.flatnonzero(last >= 0)
    logits[written, last[written]] = -np.inf
    weights: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def grammar(tokens: Integers, rows: Floats) -> Floats:
    """Say what a grammar does to rows: after an odd number of tokens 0 the last token is forbidden."""
    return masked(rows, (tokens == 0).sum(axis=1))


def masked(rows: Floats, zeros: NDArray[Any]) -> Floats:
    """Forbid the last token where the text has an odd number of tokens 0."""
    found = rows.copy()
    found[zeros % 2 == 1, -1] = 0.0
    return found


def counted(tokens: Integers, lengths: Integers, vocabulary: int) -> Floats:
    """Count the tokens of texts of these lengths: ``(B, n)`` to ``(B, V)``."""
    counts = np.zeros((len(tokens), vocabulary))
    for place in range(tokens.shape[1]):
        rows = np.flatnonzero(place < lengths)
        counts[rows, tokens[rows, place]] += 1
    return counts


def kept(
    rows: Floats, min_p: float | None = None, typical_p: float | None = None, tops: Floats | None = None
) -> Floats:
    """Apply min-p, then typical-p; `tops` are the likeliest tokens of another row that min-p looks at."""
    found: Floats = rows
    if min_p is not None:
        top = found.max(axis=-1, keepdims=True)
        least = min_p * top if tops is None else np.minimum(min_p * tops[..., None], top)
        found = np.where(found < least, 0.0, found)
        found = found / found.sum(axis=-1, keepdims=True)
    if typical_p is not None:
        found = _typical(found, typical_p)
    return found


def _typical(rows: Floats, mass: float) -> Floats:
    """Take tokens by how near their surprise is to its mean, until they have the mass."""
    surprise = -np.log(np.where(rows > 0, rows, 1.0))
    mean = (rows * surprise).sum(axis=-1, keepdims=True)
    order = np.argsort(np.where(rows > 0, np.abs(surprise - mean), np.inf), axis=-1, kind="stable")
    weights = np.take_along_axis(rows, order, axis=-1)
    reached = np.cumsum(weights, axis=-1) - weights
    left = np.zeros_like(rows)
    np.put_along_axis(left, order, np.where(reached < mass, weights, 0.0), axis=-1)
    return left / left.sum(axis=-1, keepdims=True)


def tempered(rows: Floats, temperatures: Any) -> Floats:
    """Apply a temperature to each row of the batch; 0 leaves the likeliest token."""
    found = np.empty_like(rows)
    for b, temperature in enumerate(np.asarray(temperatures, dtype=np.float64)):
        if temperature == 0:
            found[b] = np.eye(rows.shape[-1])[rows[b].argmax(axis=-1)]
        else:
            powers = rows[b] ** (1 / temperature)
            found[b] = powers / powers.sum(axis=-1, keepdims=True)
    return found


def scattered(rows: Floats, d2t: Any, vocabulary: int) -> Floats:
    """Put narrow draft rows at the target's ids."""
    wide = np.zeros((*rows.shape[:-1], vocabulary))
    wide[..., np.asarray(d2t)] = rows
    return wide


def race(rows: Floats, uniforms: Floats) -> Integers:
    """Draw from rows ``(..., V)`` by exponential races with one uniform in (0, 1) per token."""
    clocks = -np.log(uniforms)
    with np.errstate(divide="ignore"):
        return (np.log(rows) - np.log(clocks)).argmax(axis=-1)


def open_uniforms(noise: Any, words: Any) -> Floats:
    """Return uniforms strictly between 0 and 1 of either kind of noise."""
    if words is not None:
        return (np.asarray(words, dtype=np.float64) + 0.5) / 2.0**32
    return np.clip(np.asarray(noise, dtype=np.float64), 2.0**-60, 1 - 2.0**-53)


def logarithms(rows: Floats, tokens: Integers) -> Floats:
    """Return the logarithm of the entry of each row at its token; -1 counts as token 0."""
    at = np.take_along_axis(rows, np.maximum(tokens, 0)[..., None], axis=-1)[..., 0]
    with np.errstate(divide="ignore"):
        return np.log(at)


def generators(seeds: Any) -> list[np.random.Generator]:
    """Return a generator for each row's seed, a number or several."""
    return [np.random.default_rng(seed) for seed in np.asarray(seeds).tolist()]


def uniforms_of(rows: list[np.random.Generator], size: int) -> NDArray[np.float64]:
    """Draw the same number of uniforms from the generator of each row."""
    return np.stack([generator.random(size) for generator in rows])
