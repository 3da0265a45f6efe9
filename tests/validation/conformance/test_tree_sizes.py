"""Trees of many shapes, and coins that are used again some nodes apart."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.zoo import get_controls, get_mutants
from specsim.algorithms import levels
from specsim.validation.conformance.calling import Caller, tree_depths
from specsim.validation.conformance.ranked import PARTS, parts_of_rows
from specsim.validation.conformance.subjects import as_subject
from specsim.validation.conformance.tables import is_law
from specsim.validation.conformance.tree_sizes import (
    FAR_LAWS,
    MANY_NODES,
    MOST_DEPTH,
    MOST_NODES,
    NODES_APART,
    TreeEchoes,
    TreeSizes,
    bushy_levels,
    many_levels,
    narrow_levels,
    random_tree,
    shuffled,
    wide_levels,
)


def probe(subject, per_level=40):
    return TreeSizes(Caller(subject=subject, seed=1), np.random.default_rng(1), per_level, seed=20240817)


@pytest.mark.parametrize("nodes", [1, 2, 9, 63, 127])
def test_random_trees_have_the_nodes_asked_for(nodes):
    shape = random_tree(np.random.default_rng(nodes), nodes, 4)
    assert len(shape.parents) == nodes + 1
    assert max(len(shape.children(node)) for node in range(nodes + 1)) <= 4
    assert shape.depth <= MOST_DEPTH


def test_shapes_by_level_have_what_is_asked_for_and_fit():
    rng = np.random.default_rng(1)
    for most in (1, 2, 7, 16, 32):
        for _ in range(20):
            widths = wide_levels(rng, most)
            assert max(widths) >= most
            assert most in widths
            assert len(levels(widths).parents) <= MOST_NODES + 1
    for depth in range(1, MOST_DEPTH + 1):
        widths = narrow_levels(rng, depth)
        assert len(widths) == depth
        assert len(levels(widths).parents) <= MOST_NODES + 1
    for most in (2, 3, 6, 12):
        nodes = len(levels(many_levels(rng, most)).parents)
        assert MOST_NODES < nodes <= MANY_NODES + 1
    for most in (2, 6):
        assert all(width > 1 for width in bushy_levels(rng, most)[:-1])


def form(parents, node=0):
    """The tree below a node, whatever the numbers of its nodes."""
    return tuple(sorted(form(parents, child) for child in np.flatnonzero(np.asarray(parents) == node)))


def test_a_shuffled_tree_is_the_same_tree():
    rng = np.random.default_rng(4)
    scattered = 0
    for _ in range(50):
        parents = np.array(random_tree(rng, 12, 4).parents)
        found = shuffled(parents, rng)
        assert form(found) == form(parents)
        assert found[0] == -1
        assert (found[1:] < np.arange(1, 13)).all()
        assert (np.diff(tree_depths(found)) >= 0).all()
        scattered += any(np.ptp(np.flatnonzero(found == n)) >= np.sum(found == n) for n in set(found[1:]))
    assert scattered > 20


def test_calls_have_large_trees_wide_vocabularies_and_many_single_trees():
    seen = []
    subject = get_controls(["tree-renumbered-by-parents"])[0].subject

    def run(parents, target, draft, tokens, seed):
        seen.append((len(tokens), len(parents) - 1, target.shape[-1], (np.diff(parents) < 0).any()))
        return subject.run(parents, target, draft, tokens, seed)

    found = probe(subject.replace(run=run))
    found.sample(found.planned)
    rows, nodes, vocabulary, unsorted = np.array(seen).T
    assert np.sum(rows == 1) > 6 * 40
    assert MOST_NODES < nodes.max() <= MANY_NODES
    assert vocabulary.max() > 512
    assert np.sum(unsorted) > 10
    assert max(look.evidence.log_e(look.counts()) for look in found.looks(0.0)) < 5


def test_columns_of_nodes_are_as_far_apart_as_they_say():
    found = probe(as_subject(lambda parents, target, draft, tokens, seed: None))
    assert found.apart == list(NODES_APART)
    for nodes in found.apart:
        children, depth, levels_apart = found._columns(nodes)
        shape = levels([children] + [1] * (depth - 1))
        assert len(shape.parents) <= MOST_NODES + 2
        path = shape.path(len(shape.parents) - 1)
        assert path[levels_apart] - path[0] == nodes


def test_a_subject_gets_no_more_children_than_it_has_tokens():
    seen = []

    subject = get_controls(["tree-recursive-without-replacement"])[0].subject
    right = subject.run

    def run(parents, target, draft, tokens, seed):
        seen.append((int(np.bincount(parents[1:]).max()), target.shape[-1]))
        return right(parents, target, draft, tokens, seed)

    limited = probe(subject.replace(run=run, max_vocabulary=5))
    limited.sample(3 * limited.planned // 4)
    assert max(children for children, _ in seen) == 5
    assert max(vocabulary for _, vocabulary in seen) == 5


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_one_coin_for_two_tests_has_the_stated_law(ranks):
    """The tokens of two tests in turn by the ratio rule, with one coin."""
    echoes = TreeEchoes([1], FAR_LAWS[ranks])
    (target, draft), law = echoes.laws, echoes._one_coin()
    assert all(is_law(row) for row in law)
    rng = np.random.default_rng(3)
    runs = 40_000
    coin = rng.random(runs)
    first, second = rng.choice(ranks, p=draft, size=(2, runs))
    left = np.maximum(target - draft, 0)
    last = rng.choice(ranks, p=left / left.sum(), size=runs)
    passed = [coin * draft[tokens] < target[tokens] for tokens in (first, second)]
    later = np.where(passed[1], second, last)
    for rank in range(ranks):
        own = later[passed[0] & (first == rank)]
        found = np.bincount(own, minlength=ranks) / len(own)
        assert np.abs(found - law[rank]).max() < 6 * np.sqrt(0.25 / len(own))


def test_parts_of_rows_are_even():
    rng = np.random.default_rng(2)
    rows = rng.dirichlet(np.ones(5), size=(20_000, 1))
    tokens = (rows.cumsum(axis=2) <= rng.random((20_000, 1, 1))).sum(axis=2)
    parts = parts_of_rows(rows, np.minimum(tokens, 4), rng.random(tokens.shape))
    assert np.abs(np.bincount(parts.ravel(), minlength=PARTS) / 20_000 - 1 / PARTS).max() < 0.02


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("tree-residual-of-four", "children mostly rejected"),
        ("tree-coins-of-eight-nodes", "nodes apart"),
        ("tree-parents-draft-row", "several children at each node"),
        ("tree-six-levels-tested", "position"),
        ("tree-mask-of-64-nodes", "after the last level"),
        ("tree-one-tree-replaced-from-target", "1 row in a call"),
        ("tree-ids-of-8-bits", "tokens in the vocabulary"),
        ("tree-small-residuals-dropped", "tokens in the vocabulary"),
    ],
)
def test_a_wrong_tree_is_evidence_and_the_cell_says_why(name, cell):
    found = probe(get_mutants([name])[0].subject, per_level=120)
    # Some change little: twice these rows are enough.
    little = name in ("tree-parents-draft-row", "tree-one-tree-replaced-from-target")
    found.sample(found.planned * (2 if little else 1))
    looks = found.looks(0.0)
    evidence = [look.evidence.log_e(look.counts()) for look in looks]
    best = looks[int(np.argmax(evidence))]
    assert max(evidence) > 20
    assert cell in best.name_cell(0, 0)


@pytest.mark.parametrize("name", ["tree-coins-of-token-and-level", "tree-future-chooses-sibling"])
def test_a_right_tree_that_looks_like_it_is_none(name):
    found = probe(get_controls([name])[0].subject)
    found.sample(found.planned // 2)
    assert max(look.evidence.log_e(look.counts()) for look in found.looks(0.0)) < 5
