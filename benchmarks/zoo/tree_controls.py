"""Right verifications of draft trees that look unusual, and one lossy option that has to follow its law."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.zoo.model import Control
from benchmarks.zoo.sampling import Integers, Step, at, draw, gap, quotient, without
from benchmarks.zoo.tree_walk import (
    Visit,
    less_tried,
    normal,
    recursive,
    traverse,
    walk,
)
from specsim.validation.conformance.rules import lossless, tree_bugs
from specsim.validation.conformance.rules.base import Rule
from specsim.validation.conformance.subjects import Subject


def recursive_with_replacement(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Recursive rejection at every node, children drawn with replacement."""
    return walk(parents, target, draft, tokens, seed, lambda visit: recursive(visit, replacement=True))


def recursive_without_replacement(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Recursive rejection at every node, children drawn without replacement."""
    return walk(parents, target, draft, tokens, seed, lambda visit: recursive(visit, replacement=False))


def recursive_random_order(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Recursive rejection with the children of every node in a random order."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        order = np.argsort(visit.order, axis=1)
        shuffled = Visit(**{**vars(visit), "tokens": np.take_along_axis(visit.tokens, order, axis=1)})
        choice, last = recursive(shuffled, replacement=True)
        chosen = np.take_along_axis(order, np.maximum(choice, 0)[:, None], axis=1)[:, 0]
        return np.where(choice < 0, -1, chosen), last

    return walk(parents, target, draft, tokens, seed, test)


def traversal_with_replacement(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Traversal verification, children drawn with replacement."""
    return traverse(parents, target, draft, tokens, seed, replacement=True)


def traversal_without_replacement(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Traversal verification, children drawn without replacement."""
    return traverse(parents, target, draft, tokens, seed, replacement=False)


def k_seq(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """K-SEQ at every node: accept a child with min(1, target / (factor draft)), then one residual."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        count = visit.tokens.shape[1]
        row, drafts = normal(visit.target), normal(visit.draft)
        low, high = np.ones(len(row)), np.full(len(row), float(count))
        for _ in range(55):
            factor = (low + high) / 2
            passes = (drafts * np.minimum(1.0, quotient(row, factor[:, None] * drafts))).sum(axis=1)
            too_small = 1 - (1 - passes) ** count > factor * passes
            low[too_small], high[~too_small] = factor[too_small], factor[~too_small]
        pass_rates = np.minimum(1.0, quotient(row, high[:, None] * drafts))
        passes = (drafts * pass_rates).sum(axis=1)
        choice = np.full(len(row), -1)
        for k in range(count):
            token = visit.tokens[:, k]
            choice[(choice < 0) & (visit.coins[:, k] < at(pass_rates, token))] = k
        some = 1 - (1 - passes) ** count
        accepted_mass = drafts * pass_rates * (some / np.where(passes > 0, passes, 1.0))[:, None]
        return choice, draw(gap(row, accepted_mass), visit.final)

    return walk(parents, target, draft, tokens, seed, test)


def shared_target_draw(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Draw once from the target at every node; descend into the first child that is it, else emit it."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        drawn = draw(visit.target, visit.node_coin)
        same = visit.tokens == drawn[:, None]
        return np.where(same.any(axis=1), same.argmax(axis=1), -1), drawn

    return walk(parents, target, draft, tokens, seed, test)


def one_hot_children(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Accept a child with the target's probability; a failure takes its token out of the target."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        choice = np.full(len(visit.target), -1)
        row = normal(visit.target)
        for k in range(visit.tokens.shape[1]):
            token = visit.tokens[:, k]
            choice[(choice < 0) & (visit.coins[:, k] < at(row, token))] = k
            row = normal(without(row, token))
        return choice, draw(row, visit.final)

    return walk(parents, target, draft, tokens, seed, test)


def summed_coin(visit: Visit, *, whole: float = 1.0, single: float = 2.0) -> tuple[Integers, Integers, Any]:
    """Compare one coin with the growing sum of the children's target masses.

    Returns the child, the final token, and the target without the children.
    """
    choice = np.full(len(visit.target), -1)
    row = normal(visit.target)
    left, summed = row, np.zeros(len(row))
    for k in range(visit.tokens.shape[1]):
        mass = at(row, visit.tokens[:, k])
        summed = summed + mass
        passed = (visit.node_coin < summed / whole) | (mass >= single)
        choice[(choice < 0) & passed] = k
        left = without(left, visit.tokens[:, k])
    return choice, draw(left, visit.final), left


def summed_target_coin(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Compare one coin with the sum of the children's target masses, a fresh coin for the final token."""
    return walk(parents, target, draft, tokens, seed, lambda visit: summed_coin(visit)[:2])


def lowered_thresholds(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Compare one coin with the summed masses over 0.8, and always accept a child of mass 0.45."""
    return walk(
        parents, target, draft, tokens, seed, lambda visit: summed_coin(visit, whole=0.8, single=0.45)[:2]
    )


def greedy_candidates(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Test the last child alone; a residual token that is one of the fixed children descends into it.

    The children have to be the likeliest draft tokens, and one more drawn from the rest.
    """

    def test(visit: Visit) -> tuple[Integers, Integers]:
        last = visit.tokens.shape[1] - 1
        row = normal(visit.target)
        rest = less_tried(visit.draft, visit.tokens[:, :last])
        token = visit.tokens[:, last]
        passed = visit.coins[:, last] < quotient(at(row, token), at(rest, token))
        drawn = draw(gap(row, rest), visit.final)
        fixed = visit.tokens[:, :last] == drawn[:, None]
        other = np.where(fixed.any(axis=1), fixed.argmax(axis=1), -1) if last else np.full(len(row), -1)
        return np.where(passed, last, other), drawn

    # The uniform that draws the residual is used once more below a fixed child: every node takes its own.
    def own_coin(visit: Visit) -> tuple[Integers, Integers]:
        return test(Visit(**{**vars(visit), "final": visit.node_coin}))

    return walk(parents, target, draft, tokens, seed, own_coin)


def _control(
    run: Any,
    rule: Rule,
    description: str,
    *,
    drawing: str = "with",
    draft: str = "required",
    **more: Any,
) -> Control:
    name = "tree-" + run.__name__.replace("_", "-") + more.pop("suffix", "")
    subject = Subject(name=name, protocol="tree", run=run, rule=rule, drawing=drawing, draft=draft)
    return Control(name=name, description=description, source=rule.source, subject=subject, **more)


CONTROLS = (
    _control(
        recursive_with_replacement,
        lossless.RECURSIVE,
        "Several children of a node, one after the other, each failure changes the target of the next.",
    ),
    _control(
        recursive_without_replacement,
        lossless.RECURSIVE_DISTINCT,
        "Both rows change after a failed child: the draft row loses its token.",
        drawing="without",
    ),
    _control(
        recursive_random_order,
        lossless.RECURSIVE_ANY_ORDER,
        "The children are tried in another order than they were drawn in.",
    ),
    _control(
        traversal_with_replacement,
        lossless.TRAVERSAL,
        "Leaves are tested before their ancestors: a deep path may be accepted whose first test alone fails.",
    ),
    _control(
        traversal_without_replacement,
        lossless.TRAVERSAL_DISTINCT,
        "Leaves before ancestors, and the draft rows lose the tokens of deleted leaves.",
        drawing="without",
    ),
    _control(k_seq, lossless.K_SEQ, "All children of a node face the same test, weaker than the ratio test."),
    _control(
        shared_target_draw,
        lossless.MATCH,
        "Children are compared with one sampled target token, the draft rows are not used.",
        draft="optional",
    ),
    _control(
        shared_target_draw,
        lossless.MATCH,
        "The same with distinct children.",
        drawing="without",
        draft="optional",
        suffix="-distinct",
    ),
    _control(
        one_hot_children,
        lossless.ONE_HOT,
        "The draft rows are not used, as if every child had been certain to be drawn.",
        drawing="without",
        draft="optional",
    ),
    _control(
        one_hot_children,
        lossless.ONE_HOT,
        "The same with children that may be equal.",
        draft="optional",
        suffix="-repeated",
    ),
    _control(
        summed_target_coin,
        lossless.SUMMED_COIN,
        "One coin decides over all children of a node.",
        drawing="without",
        draft="optional",
    ),
    _control(
        lowered_thresholds,
        tree_bugs.thresholds_below_one,
        "Thresholds below 1 accept more than the target allows, as documented.",
        drawing="without",
        draft="optional",
        lossless=False,
    ),
    _control(
        greedy_candidates,
        lossless.GREEDY_DRAFTS,
        "All children but the last are fixed and never tested; the residual finds them.",
        drawing="greedy",
    ),
)
