"""Wrong simulators made from the right one, which is given another algorithm or pair than asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import (
    Algorithm,
    Autoregressive,
    Batch,
    BatchAsPrinted,
    BlockVerification,
    OverAcceptance,
    RejectionBased,
    Speculative,
    Verification,
    get_rule,
)
from specsim.pairs import ModelPair
from specsim.validation.mutants.model import Mutant
from specsim.validation.witnesses import Witnesses

Rows = NDArray[np.float64]
Change = Callable[[ModelPair, Any], tuple[ModelPair, Algorithm]]


def substitute(kind: type[Algorithm], change: Change) -> Callable[[Witnesses], Witnesses]:
    """Return a mutation that simulates ``change(pair, algorithm)`` wherever `kind` is asked for."""

    def apply(witnesses: Witnesses) -> Witnesses:
        def simulate(pair: ModelPair, algorithm: Algorithm, **options: Any) -> Any:
            if isinstance(algorithm, kind):
                pair, algorithm = change(pair, algorithm)
            return witnesses.simulate(pair, algorithm, **options)

        return witnesses.replace(simulate=simulate)

    return apply


def substitute_rule(rule: str, other: str) -> Callable[[Witnesses], Witnesses]:
    """Return a mutation that simulates the rule `other` on the same drafts wherever `rule` is asked for."""

    def change(pair: ModelPair, algorithm: Verification) -> tuple[ModelPair, Algorithm]:
        instead = get_rule(other)
        if algorithm.rule is not get_rule(rule):
            return pair, algorithm
        drawn = algorithm.drawing if algorithm.drawing in instead.drawings else None
        return pair, dataclasses.replace(algorithm, rule=instead, drawn=drawn, parameters={})

    return substitute(Verification, change)


def _member(acceptance: Callable[[Rows, Rows], Rows], residual: Callable[[Rows, Rows], Rows]) -> Change:
    """Return a change from speculative decoding to the given acceptance and residual of (target, draft)."""

    def change(pair: ModelPair, algorithm: Speculative) -> tuple[ModelPair, Algorithm]:
        return pair, RejectionBased(
            acceptance=acceptance(pair.target, pair.draft),
            residual=residual(pair.target, pair.draft),
            draft_length=algorithm.draft_length,
            bonus=algorithm.bonus,
        )

    return change


def ratio(target: Rows, draft: Rows, factor: float = 1.0) -> Rows:
    """Return min(1, factor T / D), and 1 where D is 0."""
    safe = np.where(draft > 0, draft, 1.0)
    return np.where(draft > 0, np.minimum(1.0, factor * target / safe), 1.0)


def excess(target: Rows, draft: Rows) -> Rows:
    """Return norm((T - D)_+), and T where the rows are equal."""
    return _normalised(np.maximum(target - draft, 0.0), target)


def _normalised(rows: Rows, instead: Rows) -> Rows:
    totals = rows.sum(axis=-1, keepdims=True)
    return np.where(totals > 0, rows / np.where(totals > 0, totals, 1.0), instead)


def _changed(pair: ModelPair, **tables: Any) -> ModelPair:
    arguments: dict[str, Any] = {
        "target": pair.target,
        "draft": pair.draft,
        "initial": pair.initial,
        "next_context": pair.next_context,
        "horizon": pair.horizon,
    }
    arguments.update(tables)
    return ModelPair.from_probabilities(
        arguments.pop("target"), arguments.pop("draft"), **arguments, name=pair.name
    )


def _sharpened(pair: ModelPair, algorithm: Speculative) -> tuple[ModelPair, Algorithm]:
    # Drafts are drawn at temperature 1/2, but the tables below are those of the draft at temperature 1.
    sharp = _normalised(pair.draft**2, pair.draft)
    return _changed(pair, draft=sharp), _member(ratio, excess)(pair, algorithm)[1]


def _late_rows(pair: ModelPair, algorithm: Speculative) -> tuple[ModelPair, Algorithm]:
    late = np.roll(pair.target, -1, axis=0)
    return pair, RejectionBased(
        acceptance=ratio(late, pair.draft),
        residual=excess(late, pair.draft),
        draft_length=algorithm.draft_length,
        bonus=algorithm.bonus,
    )


def _frozen_context(pair: ModelPair, algorithm: Algorithm) -> tuple[ModelPair, Algorithm]:
    stay = np.repeat(np.arange(pair.contexts)[:, None], pair.tokens, axis=1)
    return _changed(pair, next_context=stay), algorithm


def _sharp_draft(pair: ModelPair, algorithm: Algorithm) -> tuple[ModelPair, Algorithm]:
    return _changed(pair, draft=_normalised(pair.draft**2, pair.draft)), algorithm


def _longer_draft(pair: ModelPair, algorithm: Speculative) -> tuple[ModelPair, Algorithm]:
    if algorithm.draft_length is None:
        return pair, dataclasses.replace(algorithm, draft_length=max(1, pair.horizon - 1))
    return pair, dataclasses.replace(algorithm, draft_length=algorithm.draft_length + 1)


def _as_printed(slip: Any) -> Change:
    def change(pair: ModelPair, algorithm: Batch) -> tuple[ModelPair, Algorithm]:
        if algorithm.draft_length is not None or algorithm.drafts == float("inf"):
            return pair, algorithm
        return pair, BatchAsPrinted(drafts=int(algorithm.drafts), slip=slip)

    return change


def _swapped_residual(pair: ModelPair, algorithm: OverAcceptance) -> tuple[ModelPair, Algorithm]:
    other = {"target": "draft", "draft": "target", "optimal": "target"}[algorithm.residual]
    return pair, dataclasses.replace(algorithm, residual=other)  # type: ignore[arg-type]


MUTANTS = (
    Mutant(
        name="residual-from-target",
        description="A rejected token is replaced by one drawn from the target row.",
        cite="ShopeeLLM/Spec-RL#14; 2411.00841, Decoding-UNO",
        apply=substitute(Speculative, _member(ratio, lambda target, draft: target)),
        kills=("specsim.laws-speculative",),
    ),
    Mutant(
        name="residual-from-draft",
        description="A rejected token is replaced by one drawn from the draft row.",
        cite="2411.00841, Appendix G, the printed listing",
        apply=substitute(Speculative, _member(ratio, lambda target, draft: draft)),
    ),
    Mutant(
        name="residual-absolute-difference",
        description="The residual is the normalised |T - D| instead of the positive part.",
        cite="2411.00841, notation of section 3.1",
        apply=substitute(
            Speculative,
            _member(ratio, lambda target, draft: _normalised(np.abs(target - draft), target)),
        ),
    ),
    Mutant(
        name="acceptance-always",
        description="Every drafted token is accepted.",
        cite="huggingface/transformers#28508",
        apply=substitute(Speculative, _member(lambda target, draft: np.ones_like(draft), excess)),
    ),
    Mutant(
        name="acceptance-doubled",
        description="A drafted token is accepted when u < 2 T / D.",
        cite="huggingface/transformers#47932: a ratio inflated by a lost normalisation",
        apply=substitute(Speculative, _member(lambda target, draft: ratio(target, draft, 2.0), excess)),
    ),
    Mutant(
        name="acceptance-inverted",
        description="A drafted token is accepted with probability min(1, D / T).",
        cite="2411.00841 and 2211.17192 use opposite letters for draft and target",
        apply=substitute(Speculative, _member(lambda target, draft: ratio(draft, target), excess)),
    ),
    Mutant(
        name="draft-law-differs",
        description="Drafts are drawn at temperature 1/2 while the ratio uses the rows at temperature 1.",
        cite="huggingface/transformers#32867; jaymody/speculative-sampling#3",
        apply=substitute(Speculative, _sharpened),
    ),
    Mutant(
        name="draft-rows-sharpened",
        description="Drafts are drawn and tested at temperature 1/2.",
        cite="huggingface/transformers#32867",
        apply=substitute(Algorithm, _sharp_draft),
    ),
    Mutant(
        name="target-row-late",
        description="The token at a step is verified against the target row of the next step.",
        cite="openvinotoolkit/openvino.genai#4190; NVIDIA/TensorRT-LLM#15098",
        apply=substitute(Speculative, _late_rows),
    ),
    Mutant(
        name="context-never-advances",
        description="Every row is read in the context of the prompt.",
        cite="feifeibear/LLMSpeculativeSampling#29: a row read in another context",
        apply=substitute(Algorithm, _frozen_context),
    ),
    Mutant(
        name="draft-length-off-by-one",
        description="A round drafts one token more than the draft length.",
        cite="flashinfer-ai/flashinfer#879: more tokens than allowed",
        apply=substitute(Speculative, _longer_draft),
        kills=("specsim.laws-speculative",),
    ),
    Mutant(
        name="bonus-missing",
        description="No bonus token is emitted when a whole finite draft is accepted.",
        cite="2411.00841, Appendix G: the listing omits the branch",
        apply=substitute(
            Speculative, lambda pair, algorithm: (pair, dataclasses.replace(algorithm, bonus=False))
        ),
        kills=("specsim.laws-speculative",),
    ),
    Mutant(
        name="one-draft-fewer",
        description="A batch tries one draft fewer than it draws.",
        cite="an off-by-one in the loop over m of 2411.00841, Algorithm 4",
        apply=substitute(
            Batch,
            lambda pair, algorithm: (
                pair,
                dataclasses.replace(algorithm, drafts=max(1, algorithm.drafts - 1)),
            ),
        ),
        kills=("specsim.laws-batch",),
    ),
    Mutant(
        name="batch-inside-loop",
        description="Lines 25-29 of Algorithm 4 stand inside the loop over the drafts.",
        cite="2411.00841, Algorithm 4 as printed",
        apply=substitute(Batch, _as_printed("inside-loop")),
    ),
    Mutant(
        name="batch-extra-subtraction",
        description="Line 28 of Algorithm 4 subtracts the draft once more.",
        cite="2411.00841, Algorithm 4 as printed",
        apply=substitute(Batch, _as_printed("extra-subtraction")),
    ),
    Mutant(
        name="printed-is-corrected",
        description="Where Algorithm 4 as printed is asked for, the corrected one runs.",
        cite="2411.00841, Algorithm 4",
        apply=substitute(BatchAsPrinted, lambda pair, algorithm: (pair, Batch(drafts=algorithm.drafts))),
        kills=("specsim.laws-batch-as-printed",),
    ),
    Mutant(
        name="block-is-token-wise",
        description="Where block verification is asked for, tokens are verified one by one.",
        cite="vllm-project/vllm-ascend#7807",
        apply=substitute(
            BlockVerification,
            lambda pair, algorithm: (
                pair,
                Speculative(draft_length=algorithm.draft_length, bonus=algorithm.bonus),
            ),
        ),
        kills=("specsim.laws-block-verification",),
    ),
    Mutant(
        name="autoregressive-from-draft",
        description="Plain decoding draws from the draft rows.",
        cite="a swap of the two models",
        apply=substitute(
            Autoregressive, lambda pair, algorithm: (_changed(pair, target=pair.draft), algorithm)
        ),
        kills=("specsim.laws-autoregressive",),
    ),
    Mutant(
        name="acceptance-ignored",
        description="A member of the rejection-based family accepts every token.",
        cite="huggingface/transformers#28508",
        apply=substitute(
            RejectionBased,
            lambda pair, algorithm: (
                pair,
                dataclasses.replace(algorithm, acceptance=np.ones(algorithm.acceptance.shape)),
            ),
        ),
        kills=("specsim.laws-rejection-based",),
    ),
    Mutant(
        name="epsilon-ignored",
        description="Over-acceptance accepts with min(1, T / D).",
        cite="2411.00841, section 4.2",
        apply=substitute(
            OverAcceptance,
            lambda pair, algorithm: (pair, dataclasses.replace(algorithm, epsilon=0.0)),
        ),
        kills=("specsim.laws-over-acceptance",),
    ),
    Mutant(
        name="residuals-swapped",
        description="Decoding-UNO resamples from the draft where the target is meant, and the reverse.",
        cite="2411.00841, Appendix G, the printed listing",
        apply=substitute(OverAcceptance, _swapped_residual),
        kills=("specsim.laws-over-acceptance",),
    ),
)
