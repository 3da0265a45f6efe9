"""Wrong rules that read the rows of another position, or rows that were overwritten."""

from __future__ import annotations

import numpy as np

from specsim.validation.conformance.rules.base import (
    Floats,
    Integers,
    Rule,
    need_draft,
    position_rule,
    ratio_law,
    without_rejected,
)
from specsim.validation.conformance.rules.lossless import MATCH

ROWS = "6 rows, off by one"
OVERWRITTEN = "1 overwritten rows"


def reading(
    name: str,
    title: str,
    source: str,
    *,
    target_row: str = "i",
    draft_row: str = "i",
) -> Rule:
    """Return the ratio rule that reads other rows than position i's, in test and residual.

    The bonus token keeps its row.

    Parameters
    ----------
    name, title, source
        As in `Rule`.
    target_row, draft_row
        Which row is read at position i: ``"i"``, ``"i + 1"`` (the last draft row where there is none
        behind), ``"i - 1"`` (the first where there is none before), ``"0"``, ``"K - 1 - i"``.
    """

    def places(kind: str, length: int, count: int) -> Integers:
        i = np.arange(length)
        chosen = {"i": i, "i + 1": i + 1, "i - 1": i - 1, "0": 0 * i, "K - 1 - i": length - 1 - i}[kind]
        return np.clip(chosen, 0, count - 1)

    def law(target: Floats, draft: Floats | None, drafted: Integers) -> Floats:
        rows = need_draft(draft, name)
        length = drafted.shape[-1]
        read = np.append(places(target_row, length, length + 1), length)
        return ratio_law(target[..., read, :], rows[..., places(draft_row, length, length), :], drafted)

    return Rule(name=name, title=title, source=source, lossless=False, law=law, bug_class=ROWS)


TARGET_ROW_AFTER = reading(
    "target-row-after",
    "test and residual of a token read the target row behind its own",
    "feifeibear/LLMSpeculativeSampling#29",
    target_row="i + 1",
)

TARGET_ROW_BEFORE = reading(
    "target-row-before",
    "test and residual of a token read the target row before its own",
    "huggingface/transformers#28166",
    target_row="i - 1",
)

DRAFT_ROW_AFTER = reading(
    "draft-row-after",
    "test and residual of a token read the draft row behind its own",
    "NVIDIA/TensorRT-LLM#12588",
    draft_row="i + 1",
)

FIRST_ROW = reading(
    "first-row",
    "every test and residual reads the target row of the first token",
    "NVIDIA/TensorRT-LLM#17890",
    target_row="0",
)

DRAFT_ROWS_REVERSED = reading(
    "draft-rows-reversed",
    "draft rows are stored last to first",
    "easily made: rows that are prepended to a list; compare NVIDIA/TensorRT-LLM#12588",
    draft_row="K - 1 - i",
)


def _replaced_from_behind(target: Floats, draft: Floats | None, drafted: Integers) -> Floats:
    table = MATCH.law(target, draft, drafted)
    stopped = table[..., :-1, :].sum(axis=-1, keepdims=True)
    table[..., :-1, :] = stopped * target[..., 1:, :]
    return table


RECOVERY_ROW_AFTER = Rule(
    name="recovery-row-after",
    title="match rule, but the emitted token is the draw from the target row behind the rejected token",
    source="openvinotoolkit/openvino.genai#4190",
    lossless=False,
    law=_replaced_from_behind,
    bug_class=ROWS,
)

ZEROED_IN_PLACE = position_rule(
    name="zeroed-in-place",
    title="the drafted token's mass is taken out of the target row before it is tested: all are rejected",
    source="vllm-project/vllm-ascend#2881",
    lossless=False,
    acceptance=lambda target, draft: np.zeros_like(target),
    residual=without_rejected,
    bug_class=OVERWRITTEN,
)
