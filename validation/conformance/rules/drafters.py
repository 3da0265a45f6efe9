"""Lossless rules whose drafts are not drawn from the draft row."""

import numpy as np

from specsim.validation.conformance.rules.base import Floats, Integers, Rule, need_draft, ratio_law
from specsim.validation.conformance.rules.lossless import ONE_HOT


def likeliest(rows: Floats) -> Floats:
    """Return all mass on the likeliest token of each row, the first of equal ones."""
    return np.eye(rows.shape[-1])[rows.argmax(axis=-1)]


def top_two(rows: Floats) -> Floats:
    """Keep the two likeliest tokens, and all that tie with the second, normalised."""
    second = np.partition(rows, -2, axis=-1)[..., -2:-1]
    kept = rows * (rows >= second)
    return kept / kept.sum(axis=-1, keepdims=True)


def uniform(rows: Floats) -> Floats:
    """Return the uniform law, whatever the row."""
    return np.full(rows.shape, 1.0 / rows.shape[-1])


def _filtered_ratio(target: Floats, draft: Floats | None, drafted: Integers) -> Floats:
    return ratio_law(target, top_two(need_draft(draft, "top-2-ratio")), drafted)


def _one_hot_ratio(target: Floats, draft: Floats | None, drafted: Integers) -> Floats:
    return ratio_law(target, likeliest(need_draft(draft, "argmax-ratio")), drafted)


ARGMAX_ONE_HOT = Rule(
    name="argmax-one-hot",
    title="the draft's likeliest token, with the one-hot rule",
    source="SafeAILab/EAGLE#329",
    lossless=True,
    law=ONE_HOT.law,
    draw=likeliest,
)

TOP_2_ONE_HOT = Rule(
    name="top-2-one-hot",
    title="drafts from the draft's two likeliest tokens, with the one-hot rule",
    source="SafeAILab/EAGLE#329",
    lossless=True,
    law=ONE_HOT.law,
    draw=top_two,
)

UNIFORM_ONE_HOT = Rule(
    name="uniform-one-hot",
    title="drafts drawn uniformly, with the one-hot rule",
    source="2211.17192 with a deterministic draft, given its choice",
    lossless=True,
    law=ONE_HOT.law,
    draw=uniform,
)

TOP_2_RATIO = Rule(
    name="top-2-ratio",
    title="drafts from the draft's two likeliest tokens, with the ratio rule for just that law",
    source="huggingface/transformers#47961",
    lossless=True,
    law=_filtered_ratio,
    draw=top_two,
)

ARGMAX_RATIO = Rule(
    name="argmax-ratio",
    title="the draft's likeliest token, with the ratio rule for a draft law of all mass on it",
    source="jaymody/speculative-sampling#4",
    lossless=True,
    law=_one_hot_ratio,
    draw=likeliest,
)
