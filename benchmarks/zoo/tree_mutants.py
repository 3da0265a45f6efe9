"""Wrong verifications of draft trees (class 11, and other classes as they look on trees)."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.zoo.model import Mutant, mutant_of_law
from benchmarks.zoo.sampling import (
    Floats,
    Integers,
    Step,
    at,
    draw,
    floats,
    gap,
    quotient,
    without,
)
from benchmarks.zoo.tree_controls import (
    recursive_without_replacement,
    summed_coin,
    summed_target_coin,
)
from benchmarks.zoo.tree_walk import (
    Visit,
    children,
    depths,
    normal,
    recursive,
    traverse,
    walk,
)
from specsim.validation.conformance.rules import lossless, tree_bug_laws, tree_bugs
from specsim.validation.conformance.rules.base import Rule
from specsim.validation.conformance.subjects import Subject


def first_pass(passed: Any) -> Integers:
    """Return the first child that passed, -1 for none."""
    return np.where(passed.any(axis=1), passed.argmax(axis=1), -1)


def _ratios(visit: Visit) -> Floats:
    count = visit.tokens.shape[1]
    return np.stack(
        [
            quotient(at(visit.target, visit.tokens[:, k]), at(visit.draft, visit.tokens[:, k]))
            for k in range(count)
        ],
        axis=1,
    )


def independent_tests(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Test every child against the unchanged target."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        return first_pass(visit.coins < _ratios(visit)), draw(gap(visit.target, visit.draft), visit.final)

    return walk(parents, target, draft, tokens, seed, test)


def target_draw_per_branch(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Draw from the target anew for every child."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        draws = np.stack([draw(visit.target, coin) for coin in visit.coins.T], axis=1)
        return first_pass(draws == visit.tokens), draws[:, -1]

    return walk(parents, target, draft, tokens, seed, test)


def draft_row_not_renormalised(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Zero the tried tokens in the draft row, but leave it unnormalised."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        choice = np.full(len(visit.target), -1)
        row, drafts = visit.target, visit.draft
        for k in range(visit.tokens.shape[1]):
            token = visit.tokens[:, k]
            choice[(choice < 0) & (visit.coins[:, k] < quotient(at(row, token), at(drafts, token)))] = k
            row = normal(gap(row, drafts))
            drafts = drafts.copy()
            drafts[np.arange(len(drafts)), token] = 0.0
        return choice, draw(row, visit.final)

    return walk(parents, target, draft, tokens, seed, test)


def with_verified_as_without(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Take tried tokens out of the draft row although they may be drawn again."""
    return recursive_without_replacement(parents, target, draft, tokens, seed)


def duplicates_dropped(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Skip a child whose token has been tried already."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        choice = np.full(len(visit.target), -1)
        row = visit.target
        for k in range(visit.tokens.shape[1]):
            token = visit.tokens[:, k]
            seen = (visit.tokens[:, :k] == token[:, None]).any(axis=1)
            passed = visit.coins[:, k] < quotient(at(row, token), at(visit.draft, token))
            choice[(choice < 0) & passed & ~seen] = k
            row = np.where(seen[:, None], row, normal(gap(row, visit.draft)))
        return choice, draw(row, visit.final)

    return walk(parents, target, draft, tokens, seed, test)


def longest_of_independent_chains(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Verify every path by itself with coins of its own, and keep the longest accepted one."""
    target, draft, tokens = floats(target), floats(draft), np.asarray(tokens)
    batch, nodes = tokens.shape
    level = depths(parents)
    leaves = [node for node in range(nodes) if not children(parents, node)]
    generator = np.random.default_rng(seed)
    emitted = np.full((batch, max(level) + 1), -1, dtype=np.int64)
    best = np.full(batch, -1)
    for leaf in leaves:
        path: list[int] = []
        up = leaf
        while up:
            path.insert(0, up)
            up = int(parents[up])
        coins, final = generator.random((batch, len(path))), generator.random(batch)
        accepted, going = np.zeros(batch, dtype=np.int64), np.ones(batch, dtype=bool)
        rows = gap(target[:, 0], draft[:, 0])
        for j, node in enumerate(path):
            above = int(parents[node])
            token = tokens[:, node]
            going &= coins[:, j] < quotient(at(target[:, above], token), at(draft[:, above], token))
            accepted += going
            below = target[:, node] if node == leaf else gap(target[:, node], draft[:, node])
            rows = np.where(going[:, None], below, rows)
        last = draw(rows, final)
        longer = accepted > best
        emitted[longer] = -1
        for j, node in enumerate(path):
            here = longer & (accepted > j)
            emitted[here, j] = tokens[here, node]
        emitted[longer, accepted[longer]] = last[longer]
        best = np.maximum(best, accepted)
    return emitted, best + 1


def zeroed_residual(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Replace the target after a failure by the target without the child's token."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        choice = np.full(len(visit.target), -1)
        row = visit.target
        for k in range(visit.tokens.shape[1]):
            token = visit.tokens[:, k]
            choice[(choice < 0) & (visit.coins[:, k] < quotient(at(row, token), at(visit.draft, token)))] = k
            row = normal(without(row, token))
        return choice, draw(row, visit.final)

    return walk(parents, target, draft, tokens, seed, test)


def recovery_from_target(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Draw the final token from the target after all children have failed."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        choice, _ = recursive(visit, replacement=True)
        return choice, draw(visit.target, visit.final)

    return walk(parents, target, draft, tokens, seed, test)


def first_child_unverified(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Take the first child of the root without a test."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        choice, last = recursive(visit, replacement=True)
        return (choice if visit.node else np.zeros_like(choice)), last

    return walk(parents, target, draft, tokens, seed, test)


def one_coin_for_siblings(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Use one coin for all children of a node."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        coins = np.broadcast_to(visit.node_coin[:, None], visit.coins.shape)
        return recursive(Visit(**{**vars(visit), "coins": coins}), replacement=True)

    return walk(parents, target, draft, tokens, seed, test)


def final_coin_reused(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Draw the final token by the coin that the children have failed."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        choice, _, left = summed_coin(visit)
        return choice, draw(left, visit.node_coin)

    return walk(parents, target, draft, tokens, seed, test)


def duplicates_summed(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Add the mass of a token as often as it was drafted."""
    return summed_target_coin(parents, target, draft, tokens, seed)


def residual_from_root_rows(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Take the residual of the root's rows at every node, one child a node or several."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        choice, last = recursive(visit, replacement=True)
        if visit.node:
            last = draw(gap(visit.root_target, visit.root_draft), visit.final)
        return choice, last

    return walk(parents, target, draft, tokens, seed, test)


def wrong_logits_slice(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Read the target row of every node one slot further on."""
    shifted = np.roll(floats(target), -1, axis=1)
    return walk(parents, shifted, draft, tokens, seed, lambda visit: recursive(visit, replacement=True))


def first_sibling_rows(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Read the target row of the first sibling below any child."""
    rows = floats(target)
    slots = [0] + [children(parents, int(parents[node]))[0] for node in range(1, len(parents))]
    return walk(
        parents, rows[:, slots], draft, tokens, seed, lambda visit: recursive(visit, replacement=True)
    )


def next_request_rows(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Read the target rows of the next tree of the batch."""
    shifted = np.roll(floats(target), -1, axis=0)
    return walk(parents, shifted, draft, tokens, seed, lambda visit: recursive(visit, replacement=True))


def draft_row_of_child(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Read the draft row in the slot of the child."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        choice = np.full(len(visit.target), -1)
        row = visit.target
        for k in range(visit.tokens.shape[1]):
            token, drafts = visit.tokens[:, k], visit.child_draft[:, k]
            choice[(choice < 0) & (visit.coins[:, k] < quotient(at(row, token), at(drafts, token)))] = k
            row = normal(gap(row, drafts))
        return choice, draw(row, visit.final)

    return walk(parents, target, draft, tokens, seed, test)


def greedy_acceptance(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Accept a child when it is the likeliest target token."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        best = visit.target.argmax(axis=1)
        return first_pass(visit.tokens == best[:, None]), draw(visit.target, visit.final)

    return walk(parents, target, draft, tokens, seed, test)


def bonus_from_draft(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Draw the bonus token from the draft row."""
    return walk(
        parents, target, draft, tokens, seed, lambda visit: recursive(visit, replacement=True), bonus=draft
    )


def k_seq_factor_one(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Run K-SEQ with the factor 1, whatever the number of children."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        count = visit.tokens.shape[1]
        both = np.minimum(visit.target, visit.draft)
        passes = both.sum(axis=1, keepdims=True)
        some = 1 - (1 - passes) ** count
        left = gap(visit.target, both * some / np.where(passes > 0, passes, 1.0))
        return first_pass(visit.coins < _ratios(visit)), draw(left, visit.final)

    return walk(parents, target, draft, tokens, seed, test)


def traversal_row_kept(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Leave the parent's target row as it is when a leaf is deleted."""
    return traverse(parents, target, draft, tokens, seed, replacement=True, keep_row=True)


def traversal_weight_kept(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Leave the parent's weight as it is when a leaf is deleted."""
    return traverse(parents, target, draft, tokens, seed, replacement=True, keep_weight=True)


def _mutant(run: Any, law: Rule, claims: Rule | None) -> Mutant:
    return mutant_of_law(
        run,
        law,
        ("tree-law",),
        name="tree-" + law.name,
        description=law.title[0].upper() + law.title[1:] + ".",
        protocol="tree",
        rule=claims,
        drawing=tree_bugs.BIASED_UNDER.get(law.name, "with"),
    )


MUTANTS = (
    _mutant(independent_tests, tree_bugs.independent_tests, lossless.RECURSIVE),
    _mutant(target_draw_per_branch, tree_bugs.target_draw_per_branch, lossless.MATCH),
    _mutant(draft_row_not_renormalised, tree_bugs.draft_row_not_renormalised, lossless.RECURSIVE_DISTINCT),
    _mutant(with_verified_as_without, tree_bugs.with_verified_as_without, lossless.RECURSIVE),
    _mutant(duplicates_dropped, tree_bugs.duplicates_dropped, lossless.RECURSIVE),
    _mutant(longest_of_independent_chains, tree_bug_laws.longest_of_independent_chains, None),
    _mutant(zeroed_residual, tree_bugs.zeroed_residual, lossless.RECURSIVE),
    _mutant(recovery_from_target, tree_bugs.recovery_from_target, lossless.RECURSIVE),
    _mutant(first_child_unverified, tree_bug_laws.first_child_unverified, lossless.RECURSIVE),
    _mutant(one_coin_for_siblings, tree_bugs.one_coin_for_siblings, lossless.RECURSIVE),
    _mutant(final_coin_reused, tree_bugs.final_coin_reused, lossless.SUMMED_COIN),
    _mutant(duplicates_summed, tree_bugs.duplicates_summed, lossless.MATCH),
    _mutant(residual_from_root_rows, tree_bug_laws.residual_from_root_rows, lossless.RECURSIVE),
    _mutant(wrong_logits_slice, tree_bug_laws.wrong_logits_slice, lossless.RECURSIVE),
    _mutant(first_sibling_rows, tree_bug_laws.first_sibling_rows, lossless.RECURSIVE),
    Mutant(
        name="tree-next-request-rows",
        description="The target rows of the next tree of the batch are read.",
        cite="NVIDIA/TensorRT-LLM#17890 (review); 1CatAI/1Cat-vLLM#656",
        bug_class="10 batch, padding",
        subject=Subject(
            name="tree-next-request-rows", protocol="tree", run=next_request_rows, rule=lossless.RECURSIVE
        ),
        killed_by=("tree-law",),
    ),
    _mutant(draft_row_of_child, tree_bug_laws.draft_row_of_child, lossless.RECURSIVE),
    _mutant(greedy_acceptance, tree_bugs.greedy_acceptance, lossless.MATCH),
    _mutant(bonus_from_draft, tree_bug_laws.bonus_from_draft, lossless.RECURSIVE),
    _mutant(k_seq_factor_one, tree_bugs.k_seq_factor_one, lossless.K_SEQ),
    _mutant(traversal_row_kept, tree_bugs.traversal_row_kept, lossless.TRAVERSAL),
    _mutant(traversal_weight_kept, tree_bugs.traversal_weight_kept, lossless.TRAVERSAL),
)
