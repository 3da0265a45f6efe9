"""Wrong rules of block verification."""

from __future__ import annotations

import numpy as np

from specsim.validation.conformance.rules.base import (
    Floats,
    Integers,
    Rule,
    at_token,
    gap_residual,
    need_draft,
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


def _plain_residual(target: Floats, draft: Floats | None, drafted: Integers) -> Floats:
    rows = need_draft(draft, "block-plain-residual")
    length = drafted.shape[-1]
    quotients = ratio(at_token(target[..., :length, :], drafted), at_token(rows, drafted))
    success = np.empty(quotients.shape)
    weight = np.ones(quotients.shape[:-1])
    for i in range(length):
        with np.errstate(invalid="ignore"):
            weight = np.where(weight > 0, np.minimum(1.0, weight * quotients[..., i]), 0.0)
        success[..., i] = weight
    finals = np.concatenate([gap_residual(target[..., :length, :], rows), target[..., length:, :]], axis=-2)
    return _longest_success(success, finals)


def _one_hot(target: Floats, draft: Floats | None, drafted: Integers) -> Floats:
    length = drafted.shape[-1]
    rows = target[..., :length, :]
    success = np.asarray(np.cumprod(at_token(rows, drafted), axis=-1), dtype=np.float64)
    recovery = rows_at_token(without_rejected(rows), drafted)
    return _longest_success(success, np.concatenate([recovery, target[..., length:, :]], axis=-2))


BLOCK_PLAIN_RESIDUAL = Rule(
    name="block-plain-residual",
    title="the longest prefix whose capped product of ratios succeeds, with the residual of one token",
    source="vllm-project/vllm-ascend#7807",
    lossless=False,
    law=_plain_residual,
    bug_class=BLOCK_CLASS,
)

BLOCK_ONE_HOT = Rule(
    name="block-one-hot",
    title="block verification without draft rows: the product of the target's probabilities alone",
    source="vllm-project/vllm-ascend#7603",
    lossless=False,
    law=_one_hot,
    bug_class=BLOCK_CLASS,
)
