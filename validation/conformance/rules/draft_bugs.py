"""Wrong rules whose drafts do not have the law that the test uses, or whose vocabularies do not fit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from specsim.validation.conformance.rules.base import Floats, Integers, Rule, need_draft, ratio_law
from specsim.validation.conformance.rules.drafters import likeliest, top_two

DRAFT_LAW = "1 draft law differs from the law used"
VOCABULARY = "12 vocabulary map"


def tempered_law(rows: Floats, temperature: float) -> Floats:
    """Return each row to the power ``1 / temperature``, normalised."""
    powers = (rows / rows.max(axis=-1, keepdims=True)) ** (1.0 / temperature)
    law: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return law


def nucleus_law(rows: Floats, mass: float) -> Floats:
    """Keep the fewest likeliest tokens whose mass reaches `mass`, normalised."""
    order = np.argsort(-rows, axis=-1, kind="stable")
    ranks = np.argsort(order, axis=-1, kind="stable")
    sums = np.cumsum(np.take_along_axis(rows, order, axis=-1), axis=-1)
    needed = (sums < mass).sum(axis=-1, keepdims=True)
    kept = np.where(ranks <= needed, rows, 0.0)
    law: Floats = kept / kept.sum(axis=-1, keepdims=True)
    return law


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
    law: Floats = weights / weights.sum(axis=-1, keepdims=True)
    return law


def _drawn(name: str, title: str, source: str, draw: Callable[[Floats], Floats]) -> Rule:
    return Rule(
        name=name,
        title=title,
        source=source,
        lossless=False,
        law=ratio_law,
        draw=draw,
        bug_class=DRAFT_LAW,
    )


DRAFTS_TOP_2 = _drawn(
    "drafts-top-2",
    "drafts from the two likeliest tokens, ratio with the whole draft row",
    "huggingface/transformers#47932",
    top_two,
)

DRAFTS_ARGMAX = _drawn(
    "drafts-argmax",
    "the draft's likeliest token, ratio with the whole draft row",
    "jaymody/speculative-sampling#3; huggingface/transformers#32867",
    likeliest,
)

DRAFTS_TEMPERATURE = _drawn(
    "drafts-temperature",
    "drafts at temperature 0.7, ratio with the draft row at temperature 1",
    "easily made: two places that know the temperature; compare mlx-node/mlx-node#11",
    lambda rows: tempered_law(rows, 0.7),
)

DRAFTS_TOP_P = _drawn(
    "drafts-top-p",
    "drafts after top-p 0.8, ratio with the unfiltered draft row",
    "mlx-node/mlx-node#11",
    lambda rows: nucleus_law(rows, 0.8),
)

DRAFTS_BFLOAT16 = _drawn(
    "drafts-bfloat16",
    "drafts from the softmax of bfloat16 logits of size 20, ratio in full precision",
    "deepseek-ai/DeepSpec#31",
    lambda rows: bfloat16_softmax_law(rows, 20.0),
)


def _shifted(target: Floats, draft: Floats | None, drafted: Integers) -> Floats:
    moved = np.roll(need_draft(draft, "vocabulary-shifted"), 1, axis=-1)
    return ratio_law(target, moved, drafted)


VOCABULARY_SHIFTED = Rule(
    name="vocabulary-shifted",
    title="the test reads the draft's probabilities one id too low",
    source="NVIDIA-NeMo/Automodel#2447; vllm-project/vllm#38174",
    lossless=False,
    law=_shifted,
    bug_class=VOCABULARY,
)
