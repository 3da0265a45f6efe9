"""Wrong simulators made from the right one, which is given another algorithm or pair than asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
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
from specsim.validation.mutants.model import Mutation, defined, mutant
from specsim.validation.witnesses import Witnesses

Rows = NDArray[np.float64]
Changed = tuple[ModelPair, Algorithm]
Change = Callable[[ModelPair, Any], Changed]


def substitute(kind: type[Algorithm]) -> Callable[[Change], Mutation]:
    """Return what simulates ``change(pair, algorithm)`` wherever `kind` is asked for."""

    def mutation(change: Change) -> Mutation:
        def apply(right: Witnesses) -> Witnesses:
            def simulate(pair: ModelPair, algorithm: Algorithm, **options: Any) -> Any:
                if isinstance(algorithm, kind):
                    pair, algorithm = change(pair, algorithm)
                return right.simulate(pair, algorithm, **options)

            return right.replace(simulate=simulate)

        return apply

    return mutation


def substitute_rule(rule: str, other: str) -> Mutation:
    """Return a mutation that simulates the rule `other` on the same drafts wherever `rule` is asked for."""

    def change(pair: ModelPair, algorithm: Verification) -> tuple[ModelPair, Algorithm]:
        instead = get_rule(other)
        if algorithm.rule is not get_rule(rule):
            return pair, algorithm
        drawn = algorithm.drawing if algorithm.drawing in instead.drawings else None
        return pair, dataclasses.replace(algorithm, rule=instead, drawn=drawn, parameters={})

    return substitute(Verification)(change)


def substitute_rule_in_theory(rule: str, other: str, *functions: str) -> Mutation:
    """Return a mutation whose theory computes `functions` of the rule `other` where `rule` is asked for."""

    def instead(right: Callable[..., Any], pair: Any, algorithm: Any, **options: Any) -> Any:
        if algorithm.rule is get_rule(rule):
            algorithm = dataclasses.replace(algorithm, rule=get_rule(other), drawn=None)
        return right(pair, algorithm, **options)

    def apply(right: Witnesses) -> Witnesses:
        wrong = {name: partial(instead, getattr(right.theory, name)) for name in functions}
        return right.replace_theory(**wrong)

    return apply


def _member(algorithm: Speculative, acceptance: Rows, residual: Rows) -> RejectionBased:
    """Return speculative decoding with another acceptance and residual."""
    return RejectionBased(
        acceptance=acceptance,
        residual=residual,
        draft_length=algorithm.draft_length,
        bonus=algorithm.bonus,
    )


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


def changed(pair: ModelPair, **tables: Any) -> ModelPair:
    """Return the pair with other tables: target, draft or next_context."""
    kept = {name: getattr(pair, name) for name in ("target", "draft", "initial", "next_context", "horizon")}
    return ModelPair.from_probabilities(**(kept | tables), name=pair.name)


def _sharper(pair: ModelPair) -> ModelPair:
    return changed(pair, draft=_normalised(pair.draft**2, pair.draft))


@mutant(
    substitute(Speculative),
    cite="ShopeeLLM/Spec-RL#14; 2411.00841, Decoding-UNO",
    kills=("specsim.laws-speculative",),
)
def residual_from_target(pair: ModelPair, algorithm: Speculative) -> Changed:
    """A rejected token is replaced by one drawn from the target row."""
    return pair, _member(algorithm, ratio(pair.target, pair.draft), pair.target)


@mutant(substitute(Speculative), cite="2411.00841, Appendix G, the printed listing")
def residual_from_draft(pair: ModelPair, algorithm: Speculative) -> Changed:
    """A rejected token is replaced by one drawn from the draft row."""
    return pair, _member(algorithm, ratio(pair.target, pair.draft), pair.draft)


@mutant(substitute(Speculative), cite="2411.00841, notation of section 3.1")
def residual_absolute_difference(pair: ModelPair, algorithm: Speculative) -> Changed:
    """The residual is the normalised |T - D| instead of the positive part."""
    residual = _normalised(np.abs(pair.target - pair.draft), pair.target)
    return pair, _member(algorithm, ratio(pair.target, pair.draft), residual)


@mutant(substitute(Speculative), cite="huggingface/transformers#28508")
def acceptance_always(pair: ModelPair, algorithm: Speculative) -> Changed:
    """Every drafted token is accepted."""
    return pair, _member(algorithm, np.ones_like(pair.draft), excess(pair.target, pair.draft))


@mutant(
    substitute(Speculative), cite="huggingface/transformers#47932: a ratio inflated by a lost normalisation"
)
def acceptance_doubled(pair: ModelPair, algorithm: Speculative) -> Changed:
    """A drafted token is accepted when u < 2 T / D."""
    return pair, _member(algorithm, ratio(pair.target, pair.draft, 2.0), excess(pair.target, pair.draft))


@mutant(substitute(Speculative), cite="2411.00841 and 2211.17192 use opposite letters for draft and target")
def acceptance_inverted(pair: ModelPair, algorithm: Speculative) -> Changed:
    """A drafted token is accepted with probability min(1, D / T)."""
    return pair, _member(algorithm, ratio(pair.draft, pair.target), excess(pair.target, pair.draft))


@mutant(substitute(Speculative), cite="huggingface/transformers#32867; jaymody/speculative-sampling#3")
def draft_law_differs(pair: ModelPair, algorithm: Speculative) -> Changed:
    """Drafts are drawn at temperature 1/2 while the ratio uses the rows at temperature 1."""
    return _sharper(pair), _member(algorithm, ratio(pair.target, pair.draft), excess(pair.target, pair.draft))


@mutant(substitute(Algorithm), cite="huggingface/transformers#32867")
def draft_rows_sharpened(pair: ModelPair, algorithm: Algorithm) -> Changed:
    """Drafts are drawn and tested at temperature 1/2."""
    return _sharper(pair), algorithm


@mutant(substitute(Speculative), cite="openvinotoolkit/openvino.genai#4190; NVIDIA/TensorRT-LLM#15098")
def target_row_late(pair: ModelPair, algorithm: Speculative) -> Changed:
    """The token at a step is verified against the target row of the next step."""
    late = np.roll(pair.target, -1, axis=0)
    return pair, _member(algorithm, ratio(late, pair.draft), excess(late, pair.draft))


@mutant(substitute(Algorithm), cite="feifeibear/LLMSpeculativeSampling#29: a row read in another context")
def context_never_advances(pair: ModelPair, algorithm: Algorithm) -> Changed:
    """Every row is read in the context of the prompt."""
    stay = np.repeat(np.arange(pair.contexts)[:, None], pair.tokens, axis=1)
    return changed(pair, next_context=stay), algorithm


@mutant(
    substitute(Speculative),
    cite="flashinfer-ai/flashinfer#879: more tokens than allowed",
    kills=("specsim.laws-speculative",),
)
def draft_length_off_by_one(pair: ModelPair, algorithm: Speculative) -> Changed:
    """A round drafts one token more than the draft length."""
    length = algorithm.draft_length
    longer = max(1, pair.horizon - 1) if length is None else length + 1
    return pair, dataclasses.replace(algorithm, draft_length=longer)


@mutant(
    substitute(Speculative),
    cite="2411.00841, Appendix G: the listing omits the branch",
    kills=("specsim.laws-speculative",),
)
def bonus_missing(pair: ModelPair, algorithm: Speculative) -> Changed:
    """No bonus token is emitted when a whole finite draft is accepted."""
    return pair, dataclasses.replace(algorithm, bonus=False)


@mutant(
    substitute(Batch),
    cite="an off-by-one in the loop over m of 2411.00841, Algorithm 4",
    kills=("specsim.laws-batch",),
)
def one_draft_fewer(pair: ModelPair, algorithm: Batch) -> Changed:
    """A batch tries one draft fewer than it draws."""
    return pair, dataclasses.replace(algorithm, drafts=max(1, algorithm.drafts - 1))


def _as_printed(algorithm: Batch, slip: Any) -> Algorithm:
    if algorithm.draft_length is not None or algorithm.drafts == float("inf"):
        return algorithm
    return BatchAsPrinted(drafts=int(algorithm.drafts), slip=slip)


@mutant(substitute(Batch), cite="2411.00841, Algorithm 4 as printed")
def batch_inside_loop(pair: ModelPair, algorithm: Batch) -> Changed:
    """Lines 25-29 of Algorithm 4 stand inside the loop over the drafts."""
    return pair, _as_printed(algorithm, "inside-loop")


@mutant(substitute(Batch), cite="2411.00841, Algorithm 4 as printed")
def batch_extra_subtraction(pair: ModelPair, algorithm: Batch) -> Changed:
    """Line 28 of Algorithm 4 subtracts the draft once more."""
    return pair, _as_printed(algorithm, "extra-subtraction")


@mutant(substitute(BatchAsPrinted), cite="2411.00841, Algorithm 4")
def printed_is_corrected(pair: ModelPair, algorithm: BatchAsPrinted) -> Changed:
    """Where Algorithm 4 as printed is asked for, the corrected one runs."""
    return pair, Batch(drafts=algorithm.drafts)


@mutant(
    substitute(BlockVerification),
    cite="vllm-project/vllm-ascend#7807",
    kills=("specsim.laws-block-verification",),
)
def block_is_token_wise(pair: ModelPair, algorithm: BlockVerification) -> Changed:
    """Where block verification is asked for, tokens are verified one by one."""
    return pair, Speculative(draft_length=algorithm.draft_length, bonus=algorithm.bonus)


@mutant(substitute(Autoregressive), cite="a swap of the two models", kills=("specsim.laws-autoregressive",))
def autoregressive_from_draft(pair: ModelPair, algorithm: Autoregressive) -> Changed:
    """Plain decoding draws from the draft rows."""
    return changed(pair, target=pair.draft), algorithm


@mutant(
    substitute(RejectionBased),
    cite="huggingface/transformers#28508",
    kills=("specsim.laws-rejection-based",),
)
def acceptance_ignored(pair: ModelPair, algorithm: RejectionBased) -> Changed:
    """A member of the rejection-based family accepts every token."""
    return pair, dataclasses.replace(algorithm, acceptance=np.ones(algorithm.acceptance.shape))


@mutant(
    substitute(OverAcceptance),
    cite="2411.00841, section 4.2",
    kills=("specsim.laws-over-acceptance",),
)
def epsilon_ignored(pair: ModelPair, algorithm: OverAcceptance) -> Changed:
    """Over-acceptance accepts with min(1, T / D)."""
    return pair, dataclasses.replace(algorithm, epsilon=0.0)


@mutant(
    substitute(OverAcceptance),
    cite="2411.00841, Appendix G, the printed listing",
    kills=("specsim.laws-over-acceptance",),
)
def residuals_swapped(pair: ModelPair, algorithm: OverAcceptance) -> Changed:
    """Decoding-UNO resamples from the draft where the target is meant, and the reverse."""
    other: Any = {"target": "draft", "draft": "target", "optimal": "target"}[algorithm.residual]
    return pair, dataclasses.replace(algorithm, residual=other)


MUTANTS = defined(globals())
