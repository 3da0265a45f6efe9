"""Rules for trees that are wrong at a node, each with where it was seen or what it is derived from.

Sources marked "derived" name the rule that the slip turns into another one; no report of it is known.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from specsim.algorithms import Structure
from specsim.theory.arithmetic.numbers import without_tokens as zeroed
from specsim.theory.step_laws.traversal import after_failure, traverse
from specsim.validation.conformance.rules.base import Floats, Integers, at_token, positive_part, ratio
from specsim.validation.conformance.rules.tree_steps import (
    node_bug,
    recursive,
    summed_coin,
    tested_in_turn,
    tree_bug,
    without_tokens,
)

TREE, RECOVERY, ACCEPTANCE, COINS = "11 tree", "2 recovery law", "3 acceptance", "4 randomness"
Step = tuple[Floats, Floats]


def in_turn(acceptances: Floats) -> Step:
    """Return the probabilities that each of independent tests is the first success, and that all fail."""
    failed = np.cumprod(1.0 - acceptances, axis=-1, dtype=np.float64)
    before = np.concatenate((np.ones((*failed.shape[:-1], 1)), failed[..., :-1]), axis=-1)
    taken: Floats = before * acceptances
    return taken, failed[..., -1]


def _at_tokens(rows: Floats, tokens: Integers) -> Floats:
    return np.take_along_axis(rows, tokens, axis=-1)


def _ratios(target: Floats, draft: Floats, tokens: Integers) -> Floats:
    return np.minimum(1.0, _at_tokens(ratio(target, draft), tokens))


@node_bug(TREE, "2411.00841, before Algorithm 4; foundation-model-stack/fms-extras#12")
def independent_tests(target: Floats, draft: Floats, tokens: Integers) -> Step:
    """every child is tested against the unchanged target, as if it were alone"""
    taken, failed = in_turn(_ratios(target, draft, tokens))
    return taken, failed[..., None] * positive_part(target - draft, target)


@node_bug(TREE, "foundation-model-stack/fms-extras#12")
def target_draw_per_branch(target: Floats, draft: Floats, tokens: Integers) -> Step:
    """every child has its own target draw; the first match is taken, else the last draw is emitted"""
    taken, failed = in_turn(_at_tokens(target, tokens))
    return taken, failed[..., None] * positive_part(zeroed(target, tokens[..., -1:]), target)


@node_bug(TREE, "derived: recursive-distinct (the same law as verifying them as if with replacement)")
def draft_row_not_renormalised(target: Floats, draft: Floats, tokens: Integers) -> Step:
    """children drawn without replacement, tried tokens zeroed in the draft row, which is not renormalised"""

    def update(row: Floats, drafts: Floats, k: int) -> Step:
        return positive_part(row - drafts, row), zeroed(drafts, tokens[..., k, None])

    return tested_in_turn(target, draft, tokens, update)


@node_bug(TREE, "derived: recursive-distinct")
def with_verified_as_without(target: Floats, draft: Floats, tokens: Integers) -> Step:
    """children drawn with replacement, verified as if without replacement"""

    def update(row: Floats, drafts: Floats, k: int) -> Step:
        return positive_part(row - drafts, row), without_tokens(draft, tokens[..., : k + 1])

    return tested_in_turn(target, draft, tokens, update)


@node_bug(TREE, "derived: recursive on a tree without duplicates")
def duplicates_dropped(target: Floats, draft: Floats, tokens: Integers) -> Step:
    """children drawn with replacement, equal ones merged before the test"""
    taken = np.zeros(tokens.shape)
    left = np.ones(tokens.shape[:-1])
    row = target
    for k in range(tokens.shape[-1]):
        new = (tokens[..., :k] != tokens[..., k, None]).all(axis=-1)
        accepted = np.where(new, np.minimum(1.0, at_token(ratio(row, draft), tokens[..., k])), 0.0)
        taken[..., k] = left * accepted
        left = left * (1.0 - accepted)
        row = np.where(new[..., None], positive_part(row - draft, row), row)
    return taken, left[..., None] * row


@node_bug(RECOVERY, "SafeAILab/EAGLE#20; SafeAILab/EAGLE#50")
def zeroed_residual(target: Floats, draft: Floats, tokens: Integers) -> Step:
    """ratio test of sampled children, but a failure only takes the child's token out of the target"""

    def update(row: Floats, drafts: Floats, k: int) -> Step:
        return without_tokens(target, tokens[..., : k + 1]), drafts

    return tested_in_turn(target, draft, tokens, update)


@node_bug(RECOVERY, "ShopeeLLM/Spec-RL#14, on trees")
def recovery_from_target(target: Floats, draft: Floats, tokens: Integers) -> Step:
    """after all children have failed the token is drawn from the target, not from the last residual"""
    taken, final = recursive(target, draft, tokens)
    return taken, final.sum(axis=-1, keepdims=True) * target


@node_bug(COINS, "flashinfer-ai/flashinfer#424, on trees")
def one_coin_for_siblings(target: Floats, draft: Floats, tokens: Integers) -> Step:
    """recursive rejection with one and the same coin for all children of a node"""
    taken = np.zeros(tokens.shape)
    covered = np.zeros(tokens.shape[:-1])
    row = target
    for k in range(tokens.shape[-1]):
        accepted = np.minimum(1.0, at_token(ratio(row, draft), tokens[..., k]))
        taken[..., k] = np.maximum(accepted - covered, 0.0)
        covered = np.maximum(covered, accepted)
        row = positive_part(row - draft, row)
    return taken, (1.0 - covered)[..., None] * row


@node_bug(COINS, "sgl-project/sglang#7231")
def final_coin_reused(target: Floats, draft: Floats, tokens: Integers) -> Step:
    """one coin against the summed target mass of the children; the failed coin also draws the final token"""
    return summed_coin(target, tokens, reuse=True)


@node_bug(TREE, "derived: summed target masses with children drawn with replacement")
def duplicates_summed(target: Floats, draft: Floats, tokens: Integers) -> Step:
    """one coin against the summed target mass of the children, equal children counted twice"""
    return summed_coin(target, tokens)


@node_bug("7 greedy at temperature > 0", "sgl-project/sglang#32922; sgl-project/sglang#21275")
def greedy_acceptance(target: Floats, draft: Floats, tokens: Integers) -> Step:
    """a child is accepted when it is the target's likeliest token; else the token is drawn from the target"""
    hit = tokens == target.argmax(axis=-1)[..., None]
    taken = np.where(hit & (np.cumsum(hit, axis=-1) == 1), 1.0, 0.0)
    return taken, (1.0 - taken.sum(axis=-1))[..., None] * target


@node_bug(TREE, "derived: k-seq (2310.15141, Algorithm 2)")
def k_seq_factor_one(target: Floats, draft: Floats, tokens: Integers) -> Step:
    """K-SEQ with the factor 1, the negative part of its last residual cut off"""
    b = np.minimum(target, draft).sum(axis=-1, keepdims=True)
    taken, failed = in_turn(_ratios(target, draft, tokens))
    times = np.where(b > 0, (1.0 - (1.0 - b) ** tokens.shape[-1]) / np.where(b > 0, b, 1.0), 1.0)
    return taken, failed[..., None] * positive_part(target - np.minimum(target, draft) * times, target)


_traverse = partial(traverse, next_row=lambda row, tried: row)


@tree_bug(RECOVERY, "derived: traversal; vllm-project/vllm-ascend#7807 for block verification")
def traversal_row_kept(structure: Structure, target: Floats, draft: Floats, tokens: Integers) -> Floats:
    """traversal verification that does not replace the parent's target row when a leaf is deleted"""

    def update(weight: Floats, row: Floats, drafts: Floats) -> Step:
        return after_failure(weight, row, drafts)[0], row

    return _traverse(structure, target, draft, tokens, update=update)


@tree_bug(ACCEPTANCE, "derived: traversal")
def traversal_weight_kept(structure: Structure, target: Floats, draft: Floats, tokens: Integers) -> Floats:
    """traversal verification that does not update the parent's weight when a leaf is deleted"""

    def update(weight: Floats, row: Floats, drafts: Floats) -> Step:
        return weight, after_failure(weight, row, drafts)[1]

    return _traverse(structure, target, draft, tokens, update=update)


@node_bug(
    "13 lossy by option",
    "sgl-project/sglang, speculative_accept_threshold_single and speculative_accept_threshold_acc",
)
def thresholds_below_one(target: Floats, draft: Floats, tokens: Integers) -> Step:
    """one coin against the summed target mass of the children over 0.8; mass of 0.45 is always accepted"""
    return summed_coin(target, tokens, whole=0.8, single=0.45)


#: The way of drawing children under which each of these is met, see
#: `specsim.validation.conformance.tree_instances.DRAWINGS`; "with" where it is not listed.
BIASED_UNDER = {
    rule.name: "without"
    for rule in (draft_row_not_renormalised, final_coin_reused, thresholds_below_one, greedy_acceptance)
}
