"""Wrong rules whose random numbers are shared, used twice, or too coarse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from specsim.theory.step_laws.gumbel import second_draw_law
from specsim.validation.conformance.rules.base import (
    Floats,
    Integers,
    Rule,
    at_token,
    final_laws,
    gap_residual,
    law_bug,
    positive_part,
    ratio_acceptance,
)
from specsim.validation.conformance.rules.lossless import MATCH

COINS = "4 randomness"


def _steps(rows: Floats) -> tuple[Floats, Floats]:
    """Return where the interval of each token begins and ends when a uniform inverts the row."""
    ends = np.cumsum(rows, axis=-1)
    ends = ends / ends[..., -1:]
    begins = np.concatenate([np.zeros_like(ends[..., :1]), ends[..., :-1]], axis=-1)
    return begins, ends


def _inverted(rows: Floats, low: Floats, high: Floats) -> Floats:
    """Return the law of the token that inverts the row at a uniform between `low` and `high` ``(...)``.

    The row itself where there is nothing between.
    """
    begins, ends = _steps(rows)
    low, high = low[..., None], high[..., None]
    inside = np.maximum(np.minimum(ends, high) - np.maximum(begins, low), 0.0)
    return positive_part(inside, rows)


def _in_order(accepted: Floats, recovery: Floats, bonus: Floats) -> Floats:
    """Return the law of tests one after the other.

    Parameters
    ----------
    accepted
        Probability of accepting each drafted token, ``(..., K)``.
    recovery
        Law of its replacement, ``(..., K, V)``.
    bonus
        ``(..., V)``.
    """
    reached = np.cumprod(np.concatenate([np.ones_like(accepted[..., :1]), accepted], axis=-1), axis=-1)
    replaced = (reached[..., :-1] * (1.0 - accepted))[..., None] * recovery
    whole = reached[..., -1, None] * bonus
    return np.concatenate([replaced, whole[..., None, :]], axis=-2)


def _acceptances(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    return at_token(ratio_acceptance(target[..., :-1, :], draft), drafted)


@law_bug(COINS, "vllm-project/vllm#54282")
def shared_gumbel(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    """ratio rule, but the residual is drawn with the noise that drew the rejected token"""
    recovery = second_draw_law(draft, gap_residual(target[..., :-1, :], draft), drafted)
    return _in_order(_acceptances(target, draft, drafted), recovery, target[..., -1, :])


@law_bug(COINS, "flashinfer-ai/flashinfer#424")
def reused_coin(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    """the uniform that rejected a token also inverts the distribution function of the residual"""
    accepted = _acceptances(target, draft, drafted)
    recovery = _inverted(gap_residual(target[..., :-1, :], draft), accepted, np.ones_like(accepted))
    return _in_order(accepted, recovery, target[..., -1, :])


@law_bug(COINS, "vllm-project/vllm-ascend#16370")
def reused_coin_blocks(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    """the uniform that rejected a token also chooses the half of the vocabulary from which it is replaced"""
    accepted = _acceptances(target, draft, drafted)
    residual = gap_residual(target[..., :-1, :], draft)
    half = (np.arange(residual.shape[-1]) >= residual.shape[-1] // 2).astype(np.int64)
    masses = np.stack([residual[..., half == side].sum(axis=-1) for side in (0, 1)], axis=-1)
    chosen = _inverted(masses, accepted, np.ones_like(accepted))
    within = residual / np.where(masses > 0, masses, 1.0)[..., half]
    return _in_order(accepted, positive_part(chosen[..., half] * within, residual), target[..., -1, :])


@law_bug(COINS, "PaddlePaddle/FastDeploy#5568", needs_draft=False)
def match_one_coin(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    """match rule, but one uniform inverts the target's rows of all positions"""
    begins, ends = _steps(target)
    low, high = np.zeros(drafted.shape[:-1]), np.ones(drafted.shape[:-1])
    table = np.zeros(target.shape)
    tokens = np.arange(target.shape[-1])
    for position in range(target.shape[-2]):
        inside = np.minimum(ends[..., position, :], high[..., None]) - np.maximum(
            begins[..., position, :], low[..., None]
        )
        table[..., position, :] = np.maximum(inside, 0.0)
        if position < drafted.shape[-1]:
            token = drafted[..., position]
            table[..., position, :] = np.where(tokens == token[..., None], 0.0, table[..., position, :])
            low = np.maximum(low, at_token(begins[..., position, :], token))
            high = np.maximum(np.minimum(high, at_token(ends[..., position, :], token)), low)
    return table


@law_bug(COINS, "sgl-project/sglang#7231")
def reused_last_coin(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    """the uniform of the last test also draws the next token, replacement or bonus"""
    accepted = _acceptances(target, draft, drafted)
    recovery = _inverted(gap_residual(target[..., :-1, :], draft), accepted, np.ones_like(accepted))
    bonus = _inverted(target[..., -1, :], np.zeros(accepted.shape[:-1]), accepted[..., -1])
    return _in_order(accepted, recovery, bonus)


@law_bug(COINS, "easily made: one stream, rewound; compare vllm-project/vllm#54282")
def draft_coin(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    """the uniform that drew a drafted token is also the coin of its test"""
    begins, ends = _steps(draft)
    low, high = at_token(begins, drafted), at_token(ends, drafted)
    width = np.where(high > low, high - low, 1.0)
    accepted = np.clip((_acceptances(target, draft, drafted) - low) / width, 0.0, 1.0)
    return _in_order(accepted, gap_residual(target[..., :-1, :], draft), target[..., -1, :])


@law_bug(COINS, "PaddlePaddle/FastDeploy#5568", needs_draft=False)
def one_coin_match(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    """tokens are drawn from the target with one uniform for a whole step, and kept while they match"""
    begins, ends = _steps(target)
    table = np.zeros(target.shape)
    low, high = np.zeros(drafted.shape[:-1]), np.ones(drafted.shape[:-1])
    for i in range(drafted.shape[-1] + 1):
        start = np.maximum(begins[..., i, :], low[..., None])
        table[..., i, :] = np.maximum(np.minimum(ends[..., i, :], high[..., None]) - start, 0.0)
        if i < drafted.shape[-1]:
            token = drafted[..., i]
            np.put_along_axis(table[..., i, :], token[..., None], 0.0, axis=-1)
            low = np.maximum(low, at_token(begins[..., i, :], token))
            high = np.maximum(np.minimum(high, at_token(ends[..., i, :], token)), low)
    return table


@law_bug(COINS, "flashinfer-ai/flashinfer#424")
def one_coin_per_block(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    """all drafted tokens of a step are tested with the same uniform"""
    lowest = np.minimum.accumulate(_acceptances(target, draft, drafted), axis=-1)
    one, none = np.ones_like(lowest[..., :1]), np.zeros_like(lowest[..., :1])
    stopped = np.concatenate([one, lowest], axis=-1) - np.concatenate([lowest, none], axis=-1)
    return stopped[..., None] * final_laws(target, draft)


def _below(bounds: Floats, count: int) -> Floats:
    """Return the probability that a multiple of 1 / count, uniform in [0, 1), is below each bound."""
    return np.clip(np.ceil(bounds * count), 0, count) / count


def coarse_coins(bits: int) -> Rule:
    """Return the ratio rule with uniforms that are multiples of ``2 ** -bits``."""
    count = 2**bits

    def inverted(weights: Floats) -> Floats:
        begins, ends = _steps(weights)
        return _below(ends, count) - _below(begins, count)

    @law_bug(COINS, "vllm-project/vllm#51367, for a narrower type")
    def coarse_coins(target: Floats, draft: Floats, drafted: Integers) -> Floats:
        own = target[..., :-1, :]
        part = np.maximum(own - draft, 0.0)
        weights = np.where(part.sum(axis=-1, keepdims=True) > 0, part, own)
        accepted = _below(_acceptances(target, draft, drafted), count)
        return _in_order(accepted, inverted(weights), inverted(target[..., -1, :]))

    return replace(coarse_coins, title=f"ratio rule with uniforms of {bits} bits")


#: Above this many bits the middle of the uniforms is integrated and only both ends are summed.
MOST_BITS_SUMMED = 12
#: Uniforms that are summed one by one at each end.
SUMMED = 256


def _uniforms(bits: int) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return points in (0, 1), their weights (in uniforms), and which points are uniforms themselves.

    Every uniform for few bits. For many: those at both ends, and for the middle Gauss-Legendre nodes on
    intervals that shrink towards both ends.
    """
    count = 2**bits
    if bits <= MOST_BITS_SUMMED:
        grid = np.concatenate([[0.5], np.arange(1, count)]) / count
        return grid, np.ones(len(grid)), np.ones(len(grid), dtype=bool)
    low = np.arange(1, SUMMED + 1)
    ends = np.concatenate([[0.5], low, count - low[::-1]]) / count
    edge = (SUMMED + 0.5) / count
    left = np.geomspace(edge, 0.5, 2 * bits)
    borders = np.concatenate([left, 1.0 - left[-2::-1]])
    nodes, shares = np.polynomial.legendre.leggauss(8)
    width = np.diff(borders)[:, None]
    middle = (borders[:-1, None] + width * (nodes + 1.0) / 2.0).ravel()
    weights = (width * shares / 2.0).ravel() * count
    summed = np.concatenate([np.ones(len(ends), dtype=bool), np.zeros(len(middle), dtype=bool)])
    return np.concatenate([ends, middle]), np.concatenate([np.ones(len(ends)), weights]), summed


def coarse_gumbel_law(weights: Floats, bits: int) -> Floats:
    """Return the law of argmax(log weight - log(-log u)) with u uniform on multiples of ``2 ** -bits``.

    u is below 1, and half a step instead of 0. The first of equal scores wins. Exact up to
    `MOST_BITS_SUMMED` bits, and to about 1e-9 above.

    Parameters
    ----------
    weights
        Shape ``(..., V)``, any total.
    """
    flat, inverse = np.unique(weights.reshape(-1, weights.shape[-1]), axis=0, return_inverse=True)
    count = 2**bits
    grid, amounts, summed = _uniforms(bits)
    laws = np.zeros(flat.shape)
    for token in range(flat.shape[1]):
        rows = np.flatnonzero(flat[:, token] > 0)
        # Token j scores less than `token` iff its uniform is less than u ** (weight j / weight).
        wins = np.broadcast_to(amounts / count, (len(rows), len(grid)))
        for other in range(flat.shape[1]):
            if other == token:
                continue
            power = flat[rows, other] / flat[rows, token]
            bound = grid ** power[:, None] * count
            if other < token:
                under = np.maximum(np.ceil(bound) - 1.0, 0.0) + (bound > 0.5)
            else:
                under = np.floor(bound) + (bound >= 0.5)
            # Between uniforms the mean of either.
            mean = np.where(bound < 1.0, bound >= 0.5, bound + 0.5)
            under = np.where(summed, under, mean)
            wins = np.where((power > 0)[:, None], wins * np.clip(under, 0.0, count) / count, wins)
        laws[rows, token] = wins.sum(axis=1)
    laws /= laws.sum(axis=1, keepdims=True)  # ties that rounding sees on one side only
    return laws[inverse.reshape(-1)].reshape(weights.shape)


def coarse_gumbel(bits: int, name: str = "coarse-gumbel") -> Rule:
    """Return the match rule whose draws from the target use Gumbel noise of few bits."""

    @law_bug(COINS, "vllm-project/vllm#51367", needs_draft=False)
    def law(target: Floats, draft: Floats, drafted: Integers) -> Floats:
        return MATCH.law(coarse_gumbel_law(target, bits), None, drafted)

    return replace(law, name=name, title=f"match rule with Gumbel noise from uniforms of {bits} bits")


COARSE_COINS = coarse_coins(8)
COARSE_GUMBEL = coarse_gumbel(8)
GUMBEL_24 = coarse_gumbel(24, "gumbel-24-bits")
