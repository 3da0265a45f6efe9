"""Wrong rules whose drafts do not have the law that the test uses, or whose vocabularies do not fit."""

from __future__ import annotations

import numpy as np

from specsim.validation.conformance.rules.base import Floats, Integers, draft_bug, law_bug, ratio_law
from specsim.validation.conformance.rules.drafters import likeliest, top_two

VOCABULARY = "12 vocabulary map"


def tempered_law(rows: Floats, temperature: float) -> Floats:
    """Return each row to the power ``1 / temperature``, normalised."""
    powers = (rows / rows.max(axis=-1, keepdims=True)) ** (1.0 / temperature)
    return powers / powers.sum(axis=-1, keepdims=True)


def nucleus_law(rows: Floats, mass: float) -> Floats:
    """Keep the fewest likeliest tokens whose mass reaches `mass`, normalised."""
    order = np.argsort(-rows, axis=-1, kind="stable")
    ranks = np.argsort(order, axis=-1, kind="stable")
    sums = np.cumsum(np.take_along_axis(rows, order, axis=-1), axis=-1)
    needed = (sums < mass).sum(axis=-1, keepdims=True)
    kept = np.where(ranks <= needed, rows, 0.0)
    return kept / kept.sum(axis=-1, keepdims=True)


def eight_bits(values: Floats) -> Floats:
    """Round to 8 significant bits, as bfloat16 does; infinities stay."""
    mantissa, exponent = np.frexp(np.where(np.isfinite(values), values, 0.0))
    rounded: Floats = np.ldexp(np.rint(mantissa * 256.0) / 256.0, exponent)
    return np.where(np.isfinite(values), rounded, values)


def bfloat16_softmax_law(rows: Floats, offset: float) -> Floats:
    """Return the law of logits, log-probability plus `offset`, that were rounded to bfloat16."""
    with np.errstate(divide="ignore"):
        logits = eight_bits(np.log(rows) + offset)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


@draft_bug("huggingface/transformers#47932")
def drafts_top_2(rows: Floats) -> Floats:
    """drafts from the two likeliest tokens, ratio with the whole draft row"""
    return top_two(rows)


@draft_bug("jaymody/speculative-sampling#3; huggingface/transformers#32867")
def drafts_argmax(rows: Floats) -> Floats:
    """the draft's likeliest token, ratio with the whole draft row"""
    return likeliest(rows)


@draft_bug("easily made: the temperature is applied at two points of the code; compare mlx-node/mlx-node#11")
def drafts_temperature(rows: Floats) -> Floats:
    """drafts at temperature 0.7, ratio with the draft row at temperature 1"""
    return tempered_law(rows, 0.7)


@draft_bug("mlx-node/mlx-node#11")
def drafts_top_p(rows: Floats) -> Floats:
    """drafts after top-p 0.8, ratio with the unfiltered draft row"""
    return nucleus_law(rows, 0.8)


@draft_bug("deepseek-ai/DeepSpec#31")
def drafts_bfloat16(rows: Floats) -> Floats:
    """drafts from the softmax of bfloat16 logits of size 20, ratio in full precision"""
    return bfloat16_softmax_law(rows, 20.0)


@law_bug(VOCABULARY, "NVIDIA-NeMo/Automodel#2447; vllm-project/vllm#38174")
def vocabulary_shifted(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    """the test reads the draft's probabilities one id too low"""
    return ratio_law(target, np.roll(draft, 1, axis=-1), drafted)
