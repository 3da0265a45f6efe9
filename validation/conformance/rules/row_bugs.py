"""Wrong rules that read the rows of another position, or rows that were overwritten."""

from __future__ import annotations

import numpy as np

from specsim.validation.conformance.rules.base import (
    Floats,
    Integers,
    law_bug,
    position_bug,
    row_bug,
    without_rejected,
)
from specsim.validation.conformance.rules.lossless import MATCH

ROWS = "6 rows, off by one"
OVERWRITTEN = "1 overwritten rows"


@row_bug("feifeibear/LLMSpeculativeSampling#29")
def target_row_after(i: Integers) -> tuple[Integers, Integers]:
    """test and residual of a token read the target row after its own"""
    return i + 1, i


@row_bug("huggingface/transformers#28166")
def target_row_before(i: Integers) -> tuple[Integers, Integers]:
    """test and residual of a token read the target row before its own"""
    return i - 1, i


@row_bug("NVIDIA/TensorRT-LLM#12588")
def draft_row_after(i: Integers) -> tuple[Integers, Integers]:
    """test and residual of a token read the draft row after its own"""
    return i, i + 1


@row_bug("NVIDIA/TensorRT-LLM#17890")
def first_row(i: Integers) -> tuple[Integers, Integers]:
    """every test and residual reads the target row of the first token"""
    return 0 * i, i


@row_bug("easily made: rows that are prepended to a list; compare NVIDIA/TensorRT-LLM#12588")
def draft_rows_reversed(i: Integers) -> tuple[Integers, Integers]:
    """draft rows are stored last to first"""
    return i, i[::-1]


@law_bug(ROWS, "openvinotoolkit/openvino.genai#4190", needs_draft=False)
def recovery_row_after(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    """match rule, but the emitted token is the draw from the target row after the rejected token"""
    table = MATCH.law(target, None, drafted)
    stopped = table[..., :-1, :].sum(axis=-1, keepdims=True)
    table[..., :-1, :] = stopped * target[..., 1:, :]
    return table


@position_bug(OVERWRITTEN, "vllm-project/vllm-ascend#2881", needs_draft=False)
def zeroed_in_place(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
    """the drafted token's mass is taken out of the target row before it is tested: all are rejected"""
    return np.zeros_like(target), without_rejected(target)
