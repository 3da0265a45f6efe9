"""Verification steps whose target has a mask of a grammar, a row of it for every row of logits."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.zoo import asked
from benchmarks.zoo.controls_step import ratio_step
from benchmarks.zoo.model import Control, Mutant
from benchmarks.zoo.sampling import Floats, Integers, Step, floats
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject


def step(
    target: Any, draft: Any, drafted: Any, seed: int, *, draft_lengths: Any = None, slip: str = ""
) -> Step:
    """Mask the target's rows, and follow the ratio rule with drafts that the grammar did not see."""
    rows, drafted = floats(target), np.asarray(drafted)
    length = drafted.shape[1]
    ends = np.full(len(drafted), length) if draft_lengths is None else np.asarray(draft_lengths)
    masks = np.stack([_mask(drafted[:, :i], rows.shape[2]) for i in range(length + 1)], axis=1)
    if slip == "mask-rows-short":
        masks = _packed(masks, ends)
    kept = np.where(masks, rows, 0.0)
    # A row of which a mask leaves nothing is one of padding, or has the mask of another row.
    kept = np.where(kept.sum(axis=2, keepdims=True) > 0, kept, rows)
    total = kept.sum(axis=2, keepdims=True)
    kept = kept / np.where(total > 0, total, 1.0)
    return ratio_step(kept, draft, drafted, seed, draft_lengths=draft_lengths)


def _mask(before: Integers, vocabulary: int) -> Any:
    return asked.grammar(before, np.ones((len(before), vocabulary))) > 0


def _packed(masks: Any, ends: Integers) -> Any:
    """Return a row per draft and one more of each request, laid as if all had the longest draft."""
    rows: Floats = np.concatenate([own[: end + 1] for own, end in zip(masks, ends, strict=True)])
    found = np.ones((masks.shape[0] * masks.shape[1], masks.shape[2]), dtype=bool)
    found[: len(rows)] = rows
    return found.reshape(masks.shape)


def _subject(name: str, slip: str = "") -> Subject:
    return Subject(
        name=name,
        protocol="step",
        run=partial(step, slip=slip),
        rule=RATIO,
        options=frozenset({"draft_lengths"}),
        process=asked.grammar,
        filters="target",
    )


MUTANTS = (
    Mutant(
        name="mask-rows-short",
        description="the mask has a row per draft and one more, the logits rows for the longest draft",
        cite="vllm-project/vllm#50952, where the sizes do not fit and the engine stops",
        bug_class="10 batch, padding",
        subject=_subject("mask-rows-short", "mask-rows-short"),
        killed_by=("ragged",),
    ),
)

CONTROLS = (
    Control(
        name="grammar-step",
        description="a grammar on the target alone, with a mask for every row of ragged drafts",
        source="vllm-project/vllm#50952, with the missing rows",
        subject=_subject("grammar-step"),
    ),
)
