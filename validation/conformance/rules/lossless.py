"""Rules whose output has the target's law."""

from __future__ import annotations

import numpy as np

from specsim.validation.conformance.rules.base import (
    Floats,
    Integers,
    Rule,
    at_token,
    need_draft,
    position_rule,
    positive_part,
    ratio,
)


def ratio_acceptance(target: Floats, draft: Floats | None) -> Floats:
    """Return min(1, target / draft); 0 where the target is 0."""
    accepted: Floats = np.minimum(1.0, ratio(target, need_draft(draft, "ratio")))
    return accepted


def gap_residual(target: Floats, draft: Floats | None) -> Floats:
    """Return the normalised positive part of target - draft (the target where there is none)."""
    return positive_part(target - need_draft(draft, "ratio"), target)


def without_rejected(target: Floats, draft: Floats | None = None) -> Floats:
    """Return, for each rejected token, the target's law without it: shape ``(..., V, V)``."""
    vocabulary = target.shape[-1]
    kept = np.where(np.eye(vocabulary, dtype=bool), 0.0, target[..., None, :])
    return positive_part(kept, np.broadcast_to(target[..., None, :], kept.shape))


def _block_law(target: Floats, draft: Floats | None, drafted: Integers) -> Floats:
    rows = need_draft(draft, "block")
    length = drafted.shape[-1]
    batch = drafted.shape[:-1]
    weight = np.ones((*batch, length + 1))
    for i in range(length):
        quotient = ratio(
            at_token(target[..., i, :], drafted[..., i]), at_token(rows[..., i, :], drafted[..., i])
        )
        with np.errstate(invalid="ignore"):
            product = np.where(weight[..., i] == 0, 0.0, weight[..., i] * quotient)
        weight[..., i + 1] = np.minimum(1.0, product)
    # keep[i]: probability that test i succeeds; the longest success counts, whatever failed before it.
    keep = np.ones((*batch, length + 1))
    finals = np.empty(target.shape)
    for i in range(length):
        excess = np.maximum(weight[..., i, None] * target[..., i, :] - rows[..., i, :], 0.0)
        mass = excess.sum(axis=-1)
        bottom = mass + 1.0 - weight[..., i]
        keep[..., i] = np.where(bottom > 0, mass / np.where(bottom > 0, bottom, 1.0), 1.0)
        finals[..., i, :] = positive_part(excess, target[..., i, :])
    keep[..., 0] = 1.0
    keep[..., length] = weight[..., length]
    finals[..., length, :] = target[..., length, :]
    table = np.zeros(target.shape)
    open_mass = np.ones(batch)
    for i in range(length, -1, -1):
        table[..., i, :] = (open_mass * keep[..., i])[..., None] * finals[..., i, :]
        open_mass = open_mass * (1.0 - keep[..., i])
    return table


RATIO = position_rule(
    name="ratio",
    title="accept with min(1, target / draft), replace from the normalised positive part of target - draft",
    source="2211.17192, Algorithm 1; 2302.01318, Algorithm 2",
    lossless=True,
    acceptance=ratio_acceptance,
    residual=gap_residual,
    one_hot=True,
)

ONE_HOT = position_rule(
    name="one-hot",
    title="accept with the target's probability, replace from the target without the rejected token",
    source="2211.17192 with a deterministic draft; SafeAILab/EAGLE#329",
    lossless=True,
    acceptance=lambda target, draft: target,
    residual=without_rejected,
    any_draft=True,
)

MATCH = position_rule(
    name="match",
    title="draw from the target, accept when the drafted token is that draw, always emit the draw",
    source="z-lab/dflash#74; ml-explore/mlx-swift-lm#459",
    lossless=True,
    acceptance=lambda target, draft: target,
    residual=without_rejected,
    any_draft=True,
    first_coin=False,
)

BLOCK = Rule(
    name="block",
    title="block verification: the longest prefix whose test succeeds, residual of the weighted target",
    source="2403.10444, Algorithm 2",
    lossless=True,
    law=_block_law,
    one_hot=True,
)
