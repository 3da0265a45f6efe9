"""Rules for trees of drafts that are wrong, each with the place where it was seen or what it is derived from.

Sources marked "derived" name the rule that the slip turns into another one; no report of it is known.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from specsim.theory.step_laws.traversal import after_failure, traverse
from specsim.validation.conformance.rules.base import (
    Floats,
    Integers,
    Rule,
    TreeLaw,
    at_token,
    positive_part,
    ratio,
)
from specsim.validation.conformance.rules.tree_bug_laws import (
    bonus_from_draft,
    draft_row_of_child,
    first_unverified,
    longest_chain,
    residual_from_root,
    rows_of,
)
from specsim.validation.conformance.rules.tree_steps import (
    node_wise,
    recursive_step,
    summed_coin_step,
    without_tokens,
)


def in_turn(acceptances: Floats) -> tuple[Floats, Floats]:
    """Return the probabilities that each of independent tests is the first success, and that all fail."""
    failed = np.cumprod(1.0 - acceptances, axis=-1, dtype=np.float64)
    before = np.concatenate((np.ones((*failed.shape[:-1], 1)), failed[..., :-1]), axis=-1)
    taken: Floats = before * acceptances
    return taken, failed[..., -1]


def _at_tokens(rows: Floats, tokens: Integers) -> Floats:
    picked: Floats = np.take_along_axis(rows, tokens, axis=-1)
    return picked


def _ratios(target: Floats, draft: Floats, tokens: Integers) -> Floats:
    return np.minimum(1.0, _at_tokens(ratio(target, draft), tokens))


def _independent(target: Floats, draft: Floats, tokens: Integers) -> tuple[Floats, Floats]:
    taken, failed = in_turn(_ratios(target, draft, tokens))
    return taken, failed[..., None] * positive_part(target - draft, target)


def _draw_per_branch(target: Floats, draft: Floats, tokens: Integers) -> tuple[Floats, Floats]:
    taken, failed = in_turn(_at_tokens(target, tokens))
    last = target.copy()
    np.put_along_axis(last, tokens[..., -1:], 0.0, axis=-1)
    return taken, failed[..., None] * positive_part(last, target)


def _not_renormalised(target: Floats, draft: Floats, tokens: Integers) -> tuple[Floats, Floats]:
    taken = np.zeros(tokens.shape)
    left = np.ones(tokens.shape[:-1])
    row, drafts = target, draft
    for k in range(tokens.shape[-1]):
        accepted = np.minimum(1.0, at_token(ratio(row, drafts), tokens[..., k]))
        taken[..., k] = left * accepted
        left = left * (1.0 - accepted)
        row = positive_part(row - drafts, row)
        drafts = drafts.copy()
        np.put_along_axis(drafts, tokens[..., k, None], 0.0, axis=-1)
    return taken, left[..., None] * row


def _zeroed(target: Floats, draft: Floats, tokens: Integers) -> tuple[Floats, Floats]:
    taken = np.zeros(tokens.shape)
    left = np.ones(tokens.shape[:-1])
    row = target
    for k in range(tokens.shape[-1]):
        accepted = np.minimum(1.0, at_token(ratio(row, draft), tokens[..., k]))
        taken[..., k] = left * accepted
        left = left * (1.0 - accepted)
        row = without_tokens(target, tokens[..., : k + 1])
    return taken, left[..., None] * row


def _recovery_from_target(target: Floats, draft: Floats, tokens: Integers) -> tuple[Floats, Floats]:
    taken, final = recursive_step(True)(target, draft, tokens)
    return taken, final.sum(axis=-1, keepdims=True) * target


def _duplicates_dropped(target: Floats, draft: Floats, tokens: Integers) -> tuple[Floats, Floats]:
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


def _one_coin(target: Floats, draft: Floats, tokens: Integers) -> tuple[Floats, Floats]:
    taken = np.zeros(tokens.shape)
    covered = np.zeros(tokens.shape[:-1])
    row = target
    for k in range(tokens.shape[-1]):
        accepted = np.minimum(1.0, at_token(ratio(row, draft), tokens[..., k]))
        taken[..., k] = np.maximum(accepted - covered, 0.0)
        covered = np.maximum(covered, accepted)
        row = positive_part(row - draft, row)
    return taken, (1.0 - covered)[..., None] * row


def _greedy_child(target: Floats, draft: Floats, tokens: Integers) -> tuple[Floats, Floats]:
    hit = tokens == target.argmax(axis=-1)[..., None]
    taken = np.where(hit & (np.cumsum(hit, axis=-1) == 1), 1.0, 0.0)
    return taken, (1.0 - taken.sum(axis=-1))[..., None] * target


def _k_seq_unscaled(target: Floats, draft: Floats, tokens: Integers) -> tuple[Floats, Floats]:
    b = np.minimum(target, draft).sum(axis=-1, keepdims=True)
    taken, failed = in_turn(_ratios(target, draft, tokens))
    times = np.where(b > 0, (1.0 - (1.0 - b) ** tokens.shape[-1]) / np.where(b > 0, b, 1.0), 1.0)
    return taken, failed[..., None] * positive_part(target - np.minimum(target, draft) * times, target)


def _traversal(update: Callable[[Floats, Floats, Floats], tuple[Floats, Floats]]) -> TreeLaw:
    return partial(traverse, next_row=lambda row, tried: row, update=update)


def _bug(name: str, bug_class: str, title: str, source: str, law: TreeLaw) -> Rule:
    return Rule(name=name, title=title, source=source, lossless=False, tree_law=law, bug_class=bug_class)


INDEPENDENT_TESTS = _bug(
    "independent-tests",
    "11 tree",
    "every child is tested against the unchanged target, as if it were alone",
    "2411.00841, before Algorithm 4; foundation-model-stack/fms-extras#12",
    node_wise(_independent),
)

DRAW_PER_BRANCH = _bug(
    "target-draw-per-branch",
    "11 tree",
    "every child has its own target draw; the first match is taken, else the last draw is emitted",
    "foundation-model-stack/fms-extras#12",
    node_wise(_draw_per_branch),
)

NOT_RENORMALISED = _bug(
    "draft-row-not-renormalised",
    "11 tree",
    "children drawn without replacement, tried tokens zeroed in the draft row, which is not renormalised",
    "derived: recursive-distinct (the same law as verifying them as if with replacement)",
    node_wise(_not_renormalised),
)

WITH_AS_DISTINCT = _bug(
    "with-verified-as-without",
    "11 tree",
    "children drawn with replacement, verified as if without replacement",
    "derived: recursive-distinct",
    node_wise(recursive_step(False)),
)

DUPLICATES_DROPPED = _bug(
    "duplicates-dropped",
    "11 tree",
    "children drawn with replacement, equal ones merged before the test",
    "derived: recursive on a tree without duplicates",
    node_wise(_duplicates_dropped),
)

LONGEST_CHAIN = _bug(
    "longest-of-independent-chains",
    "11 tree",
    "every path is verified on its own; the longest accepted one is kept",
    "foundation-model-stack/fms-extras#12, with the ratio test",
    longest_chain,
)

ZEROED_RESIDUAL = _bug(
    "zeroed-residual",
    "2 recovery law",
    "ratio test of sampled children, but a failure only takes the child's token out of the target",
    "SafeAILab/EAGLE#20; SafeAILab/EAGLE#50",
    node_wise(_zeroed),
)

RECOVERY_FROM_TARGET = _bug(
    "recovery-from-target",
    "2 recovery law",
    "after all children have failed the token is drawn from the target, not from the last residual",
    "ShopeeLLM/Spec-RL#14, on trees",
    node_wise(_recovery_from_target),
)

FIRST_UNVERIFIED = _bug(
    "first-child-unverified",
    "3 acceptance",
    "the first child of the root is always accepted",
    "ohdearquant/lattice#243, on trees",
    first_unverified,
)

ONE_COIN = _bug(
    "one-coin-for-siblings",
    "4 randomness",
    "recursive rejection with one and the same coin for all children of a node",
    "flashinfer-ai/flashinfer#424, on trees",
    node_wise(_one_coin),
)

FINAL_COIN_REUSED = _bug(
    "final-coin-reused",
    "4 randomness",
    "one coin against the summed target mass of the children; the failed coin also draws the final token",
    "sgl-project/sglang#7231",
    node_wise(summed_coin_step(reuse=True)),
)

DUPLICATES_SUMMED = _bug(
    "duplicates-summed",
    "11 tree",
    "one coin against the summed target mass of the children, equal children counted twice",
    "derived: summed target masses with children drawn with replacement",
    node_wise(summed_coin_step()),
)

RESIDUAL_FROM_ROOT = _bug(
    "residual-from-root-rows",
    "6 rows",
    "after descending, the residual is that of the rows at the root",
    "NVIDIA/TensorRT-LLM#12588 (review), as a target row",
    residual_from_root,
)

NEXT_SLICE = _bug(
    "wrong-logits-slice",
    "6 rows",
    "the target rows of the tree are read one slot further on",
    "NVIDIA/TensorRT-LLM#15098",
    rows_of("next"),
)

FIRST_SIBLING_ROWS = _bug(
    "first-sibling-rows",
    "6 rows",
    "below any child the target row of the first sibling is used",
    "NVIDIA/TensorRT-LLM#17890 (review), as an index on siblings",
    rows_of("sibling"),
)

DRAFT_ROW_OF_CHILD = _bug(
    "draft-row-of-child",
    "6 rows",
    "the draft row is read at the child's slot, not at its parent's",
    "NVIDIA/TensorRT-LLM#12588 (review)",
    draft_row_of_child,
)

GREEDY_CHILD = _bug(
    "greedy-acceptance",
    "7 greedy",
    "a child is accepted when it is the target's likeliest token; else the token is drawn from the target",
    "sgl-project/sglang#32922; sgl-project/sglang#21275",
    node_wise(_greedy_child),
)

BONUS_FROM_DRAFT = _bug(
    "bonus-from-draft",
    "9 bonus",
    "after a whole accepted path the bonus token is drawn from the draft row",
    "derived: recursive",
    bonus_from_draft,
)

K_SEQ_UNSCALED = _bug(
    "k-seq-factor-one",
    "11 tree",
    "K-SEQ with the factor 1, the negative part of its last residual cut off",
    "derived: k-seq (2310.15141, Algorithm 2)",
    node_wise(_k_seq_unscaled),
)

TRAVERSAL_ROW_KEPT = _bug(
    "traversal-row-kept",
    "2 recovery law",
    "traversal verification that does not replace the parent's target row when a leaf is deleted",
    "derived: traversal; vllm-project/vllm-ascend#7807 for block verification",
    _traversal(lambda weight, target, draft: (after_failure(weight, target, draft)[0], target)),
)

TRAVERSAL_WEIGHT_KEPT = _bug(
    "traversal-weight-kept",
    "3 acceptance",
    "traversal verification that does not update the parent's weight when a leaf is deleted",
    "derived: traversal",
    _traversal(lambda weight, target, draft: (weight, after_failure(weight, target, draft)[1])),
)

LOWERED_THRESHOLDS = _bug(
    "thresholds-below-one",
    "13 lossy by option",
    "one coin against the summed target mass of the children divided by 0.8; mass of 0.45 is always accepted",
    "sgl-project/sglang, speculative_accept_threshold_single and speculative_accept_threshold_acc",
    node_wise(summed_coin_step(whole=0.8, single=0.45)),
)

#: The way of drawing children under which each of these is met, see
#: `specsim.validation.conformance.tree_instances.DRAWINGS`; "with" where it is not listed.
BIASED_UNDER = {
    rule.name: "without" for rule in (NOT_RENORMALISED, FINAL_COIN_REUSED, LOWERED_THRESHOLDS, GREEDY_CHILD)
}
