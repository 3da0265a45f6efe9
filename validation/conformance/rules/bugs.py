"""Wrong rules: recovery law, acceptance, greedy tests, bonus token, and residuals that leak zero mass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from specsim.validation.conformance.rules.base import (
    Floats,
    Integers,
    Rule,
    at_token,
    bonus_bug,
    final_laws,
    gap_residual,
    law_bug,
    position_bug,
    positive_part,
    ratio,
    ratio_acceptance,
    ratio_law,
    without_rejected,
)
from specsim.validation.conformance.rules.draft_bugs import eight_bits
from specsim.validation.conformance.rules.drafters import likeliest

RECOVERY = "2 recovery law"
ACCEPTANCE = "3 acceptance"
GREEDY = "7 greedy at temperature > 0"
EDGES = "8 zeros, NaN, edges"


@position_bug(RECOVERY, "ShopeeLLM/Spec-RL#14; foundation-model-stack/fms-extras#17")
def recovery_from_target(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
    """ratio test, but a rejected token is replaced by a draw from the target"""
    return ratio_acceptance(target, draft), target


@position_bug(RECOVERY, "easily made: the literature swaps the letters of draft and target")
def recovery_excess(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
    """ratio test, but the residual has the wrong sign: the positive part of draft - target"""
    return ratio_acceptance(target, draft), positive_part(draft - target, target)


@position_bug(RECOVERY, "easily made: an absolute value instead of the positive part")
def recovery_distance(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
    """ratio test, but the residual is the absolute value of target - draft"""
    return ratio_acceptance(target, draft), positive_part(np.abs(target - draft), target)


@position_bug(RECOVERY, "SafeAILab/EAGLE#20; xLLM-AI/xllm#2175")
def ratio_without_rejected(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
    """ratio test with the recovery of one-hot drafts: the target without the rejected token"""
    return ratio_acceptance(target, draft), without_rejected(target)


@position_bug(RECOVERY, "easily made where draft rows can be missing; compare vllm-project/vllm#44869")
def one_hot_gap(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
    """test of one-hot drafts with the residual of sampled ones"""
    return target, gap_residual(target, draft)


@position_bug(RECOVERY, "vllm-project/vllm#46665")
def recovery_log_ratio(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
    """ratio test, but the residual is computed as log(1 - ratio) from logits in bfloat16"""
    # Logits of size 20; the quotient and the difference have 8 bits too, as in log(1 - quotient).
    with np.errstate(divide="ignore", invalid="ignore"):
        log_target, log_draft = eight_bits(np.log(target) + 20.0), eight_bits(np.log(draft) + 20.0)
        inside = eight_bits(np.exp(log_draft - log_target))
        weights = np.exp(log_target - 20.0) * np.maximum(eight_bits(1.0 - inside), 0.0)
    return ratio_acceptance(target, draft), positive_part(np.where(target > 0, weights, 0.0), target)


@position_bug(RECOVERY, "local-inference-lab/vllm#476")
def forbidden_from_target(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
    """ratio test, but a drafted token that the target forbids is replaced by a draw from the target"""
    residual = np.broadcast_to(gap_residual(target, draft)[..., None, :], (*target.shape, target.shape[-1]))
    return ratio_acceptance(target, draft), np.where(target[..., :, None] > 0, residual, target[..., None, :])


def clamped_residual(floor: float) -> Rule:
    """Return the ratio rule whose residual is clamped from below at `floor` instead of 0."""

    @position_bug(EDGES, "easily made: a clamp against division by zero")
    def residual_clamped(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
        return ratio_acceptance(target, draft), positive_part(np.maximum(target - draft, floor), target)

    title = f"ratio test, but the residual is at least {floor:g} before it is normalised"
    return replace(residual_clamped, title=title)


RESIDUAL_CLAMPED = clamped_residual(1e-3)


@position_bug(ACCEPTANCE, "huggingface/transformers#28508")
def always_accept(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
    """every drafted token is accepted"""
    return np.ones_like(target), gap_residual(target, draft)


@position_bug(ACCEPTANCE, "easily made: a scale left in the test")
def double_ratio(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
    """a token is accepted with min(1, 2 target / draft)"""
    return np.minimum(1.0, 2.0 * ratio(target, draft)), gap_residual(target, draft)


@position_bug(ACCEPTANCE, "easily made: the literature swaps the letters of draft and target")
def inverted_ratio(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
    """a token is accepted with min(1, draft / target), the inverse of the ratio"""
    return ratio_acceptance(draft, target), gap_residual(target, draft)


@position_bug(ACCEPTANCE, "alibaba/rtp-llm#1295")
def match_or_ratio(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
    """a token is accepted when it equals a draw from the target, or else by the ratio test"""
    failed = (1.0 - ratio_acceptance(target, draft)) * (1.0 - target)
    return 1.0 - failed, gap_residual(target, draft)


@position_bug(ACCEPTANCE, "alibaba/rtp-llm#1295", needs_draft=False, draw=likeliest)
def match_or_one_hot(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
    """argmax drafts, accepted when they equal a draw from the target, or else by the one-hot test"""
    return 1.0 - (1.0 - target) ** 2, without_rejected(target)


@law_bug(ACCEPTANCE, "ohdearquant/lattice#243")
def first_unverified(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    """the first drafted token is accepted without a test"""
    table = np.zeros(target.shape)
    table[..., 1:, :] = ratio_law(target[..., 1:, :], draft[..., 1:, :], drafted[..., 1:])
    return table


@law_bug(ACCEPTANCE, "huggingface/transformers#28508")
def counts_all(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    """the accepted length is the number of tests that succeed, wherever they are"""
    length = drafted.shape[-1]
    accepted = at_token(ratio_acceptance(target[..., :length, :], draft), drafted)
    number = np.zeros((*drafted.shape[:-1], length + 1))
    number[..., 0] = 1.0
    for i in range(length):
        passed = accepted[..., i, None]
        moved = np.concatenate([np.zeros_like(passed), number[..., :-1]], axis=-1)
        number = number * (1.0 - passed) + moved * passed
    return number[..., None] * final_laws(target, draft)


@position_bug(GREEDY, "tanishqkumar/ssd, verification of cache misses", needs_draft=False)
def greedy_test(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
    """a token is accepted when it is the target's likeliest, else replaced by a draw from the target"""
    return likeliest(target), target


@position_bug(GREEDY, "ROCm/ATOM#2318", needs_draft=False)
def greedy_tokens(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
    """at drafted positions the target's likeliest token is emitted; the bonus token is sampled"""
    return likeliest(target), likeliest(target)


@position_bug(
    GREEDY, "sgl-project/sglang#32922; sgl-project/sglang#21275", needs_draft=False, bonus=likeliest
)
def silently_greedy(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
    """everything emitted is the target's likeliest token"""
    return likeliest(target), likeliest(target)


@bonus_bug("easily made: the bonus token is drawn where the drafts are; compare vllm-project/vllm#8320")
def bonus_from_draft(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    """the bonus token is drawn from the last draft row"""
    return draft[..., -1, :]


@bonus_bug("NVIDIA/TensorRT-LLM#15098, wrong slice of the rows")
def bonus_row_before(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    """the bonus token is drawn from the target row of the last drafted token"""
    return target[..., -2, :]


@bonus_bug("easily made: a whole accepted draft falls through to the residual")
def bonus_residual(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    """the bonus token is drawn from the positive part of its target row and the last draft row"""
    return gap_residual(target[..., -1, :], draft[..., -1, :])


@bonus_bug("easily made: a buffer one token too short; compare vllm-project/vllm#9730")
def bonus_unwritten(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    """the length counts a bonus token that was never written: it is token 0"""
    return np.eye(target.shape[-1])[np.zeros(drafted.shape[:-1], dtype=np.int64)]


#: What is left of the probability of a token of the draft, before the bonus row is normalised.
REPEATED = 0.9


@bonus_bug("sgl-project/sglang#28242")
def bonus_penalty(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    """the bonus token alone is drawn with a penalty on repetition: tokens of the draft a tenth less likely"""
    row = target[..., -1, :]
    written = (drafted[..., None] == np.arange(row.shape[-1])).any(axis=-2)
    return positive_part(np.where(written, REPEATED * row, row), row)


def capped_ratio(cap: float) -> Rule:
    """Return the ratio rule whose acceptance is at most `cap`, and whose empty residual gives token 0."""

    @position_bug(EDGES, "easily made: a clamp for the logarithm; compare vllm-project/vllm#41834")
    def capped_ratio(target: Floats, draft: Floats) -> tuple[Floats, Floats]:
        first = np.zeros_like(target)
        first[..., 0] = 1.0
        return np.minimum(cap, ratio(target, draft)), positive_part(target - draft, first)

    title = f"a token is accepted with min({cap:g}, target / draft), and an empty residual gives token 0"
    return replace(capped_ratio, title=title)


CAPPED_RATIO = capped_ratio(0.99)
