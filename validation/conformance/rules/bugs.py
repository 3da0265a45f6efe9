"""Wrong rules: recovery law, acceptance, greedy tests, bonus token, and residuals that leak zero mass."""

from __future__ import annotations

import numpy as np

from specsim.validation.conformance.rules.base import (
    Floats,
    Integers,
    Rule,
    at_token,
    gap_residual,
    need_draft,
    position_rule,
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
BONUS = "9 bonus"


def target_row(target: Floats, draft: Floats | None = None) -> Floats:
    """Return the target row itself, as a recovery."""
    return target


def _excess_residual(target: Floats, draft: Floats | None) -> Floats:
    return positive_part(need_draft(draft, "recovery-excess") - target, target)


def _distance_residual(target: Floats, draft: Floats | None) -> Floats:
    return positive_part(np.abs(target - need_draft(draft, "recovery-distance")), target)


RECOVERY_FROM_TARGET = position_rule(
    name="recovery-from-target",
    title="ratio test, but a rejected token is replaced by a draw from the target",
    source="ShopeeLLM/Spec-RL#14; foundation-model-stack/fms-extras#17",
    lossless=False,
    acceptance=ratio_acceptance,
    residual=target_row,
    bug_class=RECOVERY,
)

RECOVERY_EXCESS = position_rule(
    name="recovery-excess",
    title="ratio test, but the residual has the wrong sign: the positive part of draft - target",
    source="easily made: the literature swaps the letters of draft and target",
    lossless=False,
    acceptance=ratio_acceptance,
    residual=_excess_residual,
    bug_class=RECOVERY,
)

RECOVERY_DISTANCE = position_rule(
    name="recovery-distance",
    title="ratio test, but the residual is the absolute value of target - draft",
    source="easily made: an absolute value instead of the positive part",
    lossless=False,
    acceptance=ratio_acceptance,
    residual=_distance_residual,
    bug_class=RECOVERY,
)

RATIO_WITHOUT_REJECTED = position_rule(
    name="ratio-without-rejected",
    title="ratio test with the recovery of one-hot drafts: the target without the rejected token",
    source="SafeAILab/EAGLE#20; xLLM-AI/xllm#2175",
    lossless=False,
    acceptance=ratio_acceptance,
    residual=without_rejected,
    bug_class=RECOVERY,
)

ONE_HOT_GAP = position_rule(
    name="one-hot-gap",
    title="test of one-hot drafts with the residual of sampled ones",
    source="easily made where draft rows can be missing; compare vllm-project/vllm#44869",
    lossless=False,
    acceptance=target_row,
    residual=gap_residual,
    bug_class=RECOVERY,
)


def _log_residual(target: Floats, draft: Floats | None) -> Floats:
    """Return target * (1 - draft / target) from logits of size 20 with 8 significant bits.

    The quotient and the difference have 8 bits too, as in log(1 - quotient) without log1p.
    """
    rows = need_draft(draft, "recovery-log-ratio")
    with np.errstate(divide="ignore", invalid="ignore"):
        log_target, log_draft = eight_bits(np.log(target) + 20.0), eight_bits(np.log(rows) + 20.0)
        inside = eight_bits(np.exp(log_draft - log_target))
        weights = np.exp(log_target - 20.0) * np.maximum(eight_bits(1.0 - inside), 0.0)
    return positive_part(np.where(target > 0, weights, 0.0), target)


RECOVERY_LOG_RATIO = position_rule(
    name="recovery-log-ratio",
    title="ratio test, but the residual is computed as log(1 - ratio) from logits in bfloat16",
    source="vllm-project/vllm#46665",
    lossless=False,
    acceptance=ratio_acceptance,
    residual=_log_residual,
    bug_class=RECOVERY,
)


def clamped_residual(floor: float) -> Rule:
    """Return the ratio rule whose residual is clamped from below at `floor` in place of 0."""

    def residual(target: Floats, draft: Floats | None) -> Floats:
        return positive_part(np.maximum(target - need_draft(draft, "residual-clamped"), floor), target)

    return position_rule(
        name="residual-clamped",
        title=f"ratio test, but the residual is at least {floor:g} before it is normalised",
        source="easily made: a clamp against division by zero",
        lossless=False,
        acceptance=ratio_acceptance,
        residual=residual,
        bug_class=EDGES,
    )


RESIDUAL_CLAMPED = clamped_residual(1e-3)


def _nothing(target: Floats, draft: Floats | None) -> Floats:
    return np.zeros_like(target)


def _everything(target: Floats, draft: Floats | None) -> Floats:
    return np.ones_like(target)


def _double(target: Floats, draft: Floats | None) -> Floats:
    accepted: Floats = np.minimum(1.0, 2.0 * ratio(target, need_draft(draft, "double-ratio")))
    return accepted


def _match_or_ratio(target: Floats, draft: Floats | None) -> Floats:
    return 1.0 - (1.0 - ratio_acceptance(target, draft)) * (1.0 - target)


ALWAYS_ACCEPT = position_rule(
    name="always-accept",
    title="every drafted token is accepted",
    source="huggingface/transformers#28508",
    lossless=False,
    acceptance=_everything,
    residual=gap_residual,
    bug_class=ACCEPTANCE,
)

DOUBLE_RATIO = position_rule(
    name="double-ratio",
    title="a token is accepted with min(1, 2 target / draft)",
    source="easily made: a scale left in the test",
    lossless=False,
    acceptance=_double,
    residual=gap_residual,
    bug_class=ACCEPTANCE,
)

MATCH_OR_RATIO = position_rule(
    name="match-or-ratio",
    title="a token is accepted when it equals a draw from the target, or else by the ratio test",
    source="alibaba/rtp-llm#1295",
    lossless=False,
    acceptance=_match_or_ratio,
    residual=gap_residual,
    bug_class=ACCEPTANCE,
)

MATCH_OR_ONE_HOT = position_rule(
    name="match-or-one-hot",
    title="argmax drafts, accepted when they equal a draw from the target, or else by the one-hot test",
    source="alibaba/rtp-llm#1295",
    lossless=False,
    acceptance=lambda target, draft: 1.0 - (1.0 - target) ** 2,
    residual=without_rejected,
    draw=likeliest,
    bug_class=ACCEPTANCE,
)


def _first_unverified(target: Floats, draft: Floats | None, drafted: Integers) -> Floats:
    rows = need_draft(draft, "first-unverified")
    table = np.zeros(target.shape)
    rest = ratio_law(target[..., 1:, :], rows[..., 1:, :], drafted[..., 1:])
    table[..., 1:, :] = rest
    return table


FIRST_UNVERIFIED = Rule(
    name="first-unverified",
    title="the first drafted token is accepted without a test",
    source="ohdearquant/lattice#243",
    lossless=False,
    law=_first_unverified,
    bug_class=ACCEPTANCE,
)


def _counts_all(target: Floats, draft: Floats | None, drafted: Integers) -> Floats:
    rows = need_draft(draft, "counts-all")
    length = drafted.shape[-1]
    accepted = at_token(ratio_acceptance(target[..., :length, :], rows), drafted)
    number = np.zeros((*drafted.shape[:-1], length + 1))
    number[..., 0] = 1.0
    for i in range(length):
        passed = accepted[..., i, None]
        moved = np.concatenate([np.zeros_like(passed), number[..., :-1]], axis=-1)
        number = number * (1.0 - passed) + moved * passed
    finals = np.concatenate([gap_residual(target[..., :length, :], rows), target[..., length:, :]], axis=-2)
    table: Floats = number[..., None] * finals
    return table


COUNTS_ALL = Rule(
    name="counts-all",
    title="the accepted length is the number of tests that succeed, wherever they are",
    source="huggingface/transformers#28508",
    lossless=False,
    law=_counts_all,
    bug_class=ACCEPTANCE,
)


def _likeliest(target: Floats, draft: Floats | None = None) -> Floats:
    return np.eye(target.shape[-1])[target.argmax(axis=-1)]


GREEDY_TEST = position_rule(
    name="greedy-test",
    title="a token is accepted when it is the target's likeliest, else replaced by a draw from the target",
    source="tanishqkumar/ssd, verification of cache misses",
    lossless=False,
    acceptance=_likeliest,
    residual=target_row,
    bug_class=GREEDY,
)

SILENTLY_GREEDY = position_rule(
    name="silently-greedy",
    title="everything emitted is the target's likeliest token",
    source="sgl-project/sglang#32922; sgl-project/sglang#21275",
    lossless=False,
    acceptance=_likeliest,
    residual=_likeliest,
    bonus=_likeliest,
    bug_class=GREEDY,
)


def wrong_bonus(name: str, title: str, source: str, bonus: object) -> Rule:
    """Return the ratio rule with another law of the bonus token.

    Parameters
    ----------
    name, title, source
        As in `Rule`.
    bonus
        ``bonus(target, draft, drafted)``: rows ``(..., V)``.
    """
    assert callable(bonus)

    def law(target: Floats, draft: Floats | None, drafted: Integers) -> Floats:
        rows = need_draft(draft, name)
        table = ratio_law(target, rows, drafted)
        whole = table[..., -1, :].sum(axis=-1, keepdims=True)
        table[..., -1, :] = whole * bonus(target, rows, drafted)
        return table

    return Rule(name=name, title=title, source=source, lossless=False, law=law, bug_class=BONUS)


BONUS_FROM_DRAFT = wrong_bonus(
    "bonus-from-draft",
    "the bonus token is drawn from the last draft row",
    "easily made: the bonus token is drawn where the drafts are; compare vllm-project/vllm#8320",
    lambda target, draft, drafted: draft[..., -1, :],
)

BONUS_ROW_BEFORE = wrong_bonus(
    "bonus-row-before",
    "the bonus token is drawn from the target row of the last drafted token",
    "NVIDIA/TensorRT-LLM#15098, wrong slice of the rows",
    lambda target, draft, drafted: target[..., -2, :],
)

BONUS_RESIDUAL = wrong_bonus(
    "bonus-residual",
    "the bonus token is drawn from the positive part of its target row and the last draft row",
    "easily made: a whole accepted draft falls through to the residual",
    lambda target, draft, drafted: gap_residual(target[..., -1, :], draft[..., -1, :]),
)

BONUS_UNWRITTEN = wrong_bonus(
    "bonus-unwritten",
    "the length counts a bonus token that was never written: it is token 0",
    "easily made: a buffer one token too short; compare vllm-project/vllm#9730",
    lambda target, draft, drafted: np.eye(target.shape[-1])[np.zeros(drafted.shape[:-1], dtype=np.int64)],
)


#: What is left of the probability of a token of the draft, before the bonus row is normalised.
REPEATED = 0.9


def _less_repeated(target: Floats, draft: Floats, drafted: Integers) -> Floats:
    row = target[..., -1, :]
    written = (drafted[..., None] == np.arange(row.shape[-1])).any(axis=-2)
    weights = np.where(written, REPEATED * row, row)
    law: Floats = weights / weights.sum(axis=-1, keepdims=True)
    return law


BONUS_PENALTY = wrong_bonus(
    "bonus-penalty",
    "the bonus token alone is drawn with a penalty on repetition: tokens of the draft a tenth less likely",
    "sgl-project/sglang#28242",
    _less_repeated,
)


def capped_ratio(cap: float) -> Rule:
    """Return the ratio rule whose acceptance is at most `cap`, and whose empty residual gives token 0."""

    def residual(target: Floats, draft: Floats | None) -> Floats:
        first = np.zeros_like(target)
        first[..., 0] = 1.0
        return positive_part(target - need_draft(draft, "capped-ratio"), first)

    return position_rule(
        name="capped-ratio",
        title=f"a token is accepted with min({cap:g}, target / draft), and an empty residual gives token 0",
        source="easily made: a clamp for the logarithm; compare vllm-project/vllm#41834",
        lossless=False,
        acceptance=lambda target, draft: np.minimum(cap, ratio(target, need_draft(draft, "capped-ratio"))),
        residual=residual,
        bug_class=EDGES,
    )


CAPPED_RATIO = capped_ratio(0.99)
