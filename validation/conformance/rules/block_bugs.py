"""Wrong rules of block verification."""

from __future__ import annotations

import numpy as np

from specsim.validation.conformance.rules.base import (
    Floats,
    Integers,
    at_token,
    final_laws,
    law_bug,
    ratio,
    rows_at_token,
    without_rejected,
)

BLOCK_CLASS = "2 recovery law"


def _longest_success(success: Floats, finals: Floats) -> Floats:
    """Return the law of the last of independent tests that succeeds, and of the token after it.

    Parameters
    ----------
    success
        Probability of each test, shape ``(..., K)``.
    finals
        Law of the token after 0 to K accepted ones, shape ``(..., K + 1, V)``.
    """
    table = np.empty(finals.shape)
    behind = np.ones(success.shape[:-1])
    for accepted in range(success.shape[-1], 0, -1):
        table[..., accepted, :] = (behind * success[..., accepted - 1])[..., None] * finals[..., accepted, :]
        behind = behind * (1.0 - success[..., accepted - 1])
    table[..., 0, :] = behind[..., None] * finals[..., 0, :]
    return table


@law_bug(BLOCK_CLASS, "vllm-project/vllm-ascend#7807")
def block_plain_residual(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    """the longest prefix whose capped product of ratios succeeds, with the residual of one token"""
    quotients = ratio(at_token(target[..., :-1, :], drafted), at_token(draft, drafted))
    success = np.empty(quotients.shape)
    weight = np.ones(quotients.shape[:-1])
    for i in range(drafted.shape[-1]):
        with np.errstate(invalid="ignore"):
            weight = np.where(weight > 0, np.minimum(1.0, weight * quotients[..., i]), 0.0)
        success[..., i] = weight
    return _longest_success(success, final_laws(target, draft))


@law_bug(BLOCK_CLASS, "vllm-project/vllm-ascend#7603", needs_draft=False)
def block_one_hot(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    """block verification without draft rows: the product of the target's probabilities alone"""
    rows = target[..., :-1, :]
    success = np.asarray(np.cumprod(at_token(rows, drafted), axis=-1), dtype=np.float64)
    recovery = rows_at_token(without_rejected(rows), drafted)
    return _longest_success(success, np.concatenate([recovery, target[..., -1:, :]], axis=-2))
