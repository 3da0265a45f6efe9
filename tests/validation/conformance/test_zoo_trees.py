"""The tree samplers of the zoo against their exact laws, which share no code with them."""

import numpy as np
import pytest
from specsim_tests_zoo import emitted_cells, random_rows

from benchmarks.zoo.tree_controls import CONTROLS
from benchmarks.zoo.tree_mutants import MUTANTS
from specsim.validation.conformance.instances import number
from specsim.validation.conformance.tree_instances import (
    SHAPES,
    all_trees,
    complete,
    completed_law,
    draw_trees,
    emitted_laws,
    tree_rows,
)
from specsim.validation.statistics import decide_law_by_cells_and_entropy

RUNS = 20_000
#: With 3 tokens and two distinct children a residual has one atom, which hides what is done with coins.
TOKENS = 4
#: False-alarm rate of all comparisons of this file together.
ALPHA = 1e-9
TESTED = ("2,2", "unbalanced")


def drawing_of(subject):
    return subject.drawing


CASES = {item.name: (item.subject, item.law) for item in MUTANTS if item.law}
CASES |= {item.name: (item.subject, item.subject.rule) for item in CONTROLS}
EVERYTHING = {item.name: item.subject for item in MUTANTS + CONTROLS}
SHARE = ALPHA / (2 * len(TESTED) * len(CASES) + 2)


def pair(shape):
    generator = np.random.default_rng([5, len(shape.parents)])
    return random_rows(TOKENS, shape.depth, generator), random_rows(TOKENS, shape.depth, generator)


def agrees(cells, law, alpha=SHARE):
    counts = np.bincount(cells, minlength=len(law))
    assert len(counts) == len(law)
    return decide_law_by_cells_and_entropy(counts=counts, runs=len(cells), probabilities=law, alpha=alpha)


def run(subject, shape, target, draft, tokens, seed=1):
    return subject.run(
        np.array(shape.parents),
        tree_rows(shape, target, tokens),
        tree_rows(shape, draft, tokens),
        tokens,
        seed,
    )


@pytest.mark.parametrize("case", [(name, shape) for shape in TESTED for name in CASES], ids="-".join)
def test_samplers_have_their_exact_law(case):
    (subject, rule), shape = CASES[case[0]], SHAPES[case[1]]
    target, draft = pair(shape)
    drawing = drawing_of(subject)
    tokens, mass = all_trees(shape, draft, drawing=drawing)
    law = rule.tree_law(shape, tree_rows(shape, target, tokens), tree_rows(shape, draft, tokens), tokens)
    drawn = draw_trees(shape, draft, RUNS, np.random.default_rng(8), drawing=drawing)
    emitted, lengths = run(subject, shape, target, draft, drawn)
    assert emitted.shape == (RUNS, shape.depth + 1)
    assert lengths.min() >= 1
    decision = agrees(
        emitted_cells(emitted, lengths, TOKENS), np.concatenate(emitted_laws(shape, tokens, law, mass))
    )
    assert decision.agrees, decision
    # Given the tokens of one tree, which a mistake in another tree cannot mend.
    one = int(np.argmax(mass))
    emitted, lengths = run(subject, shape, target, draft, np.tile(tokens[one], (RUNS, 1)), seed=2)
    laws = emitted_laws(shape, tokens[[one]], law[[one]], np.ones(1))
    decision = agrees(emitted_cells(emitted, lengths, TOKENS), np.concatenate(laws))
    assert decision.agrees, decision


def test_a_tree_that_reads_the_rows_of_the_next_one_is_biased():
    shape, runs = SHAPES["2,1"], 50_000
    target, draft = pair(shape)
    subject = EVERYTHING["tree-next-request-rows"]
    drawn = draw_trees(shape, draft, runs, np.random.default_rng(8))
    emitted, lengths = run(subject, shape, target, draft, drawn)
    whole = complete(target, emitted, lengths, np.random.default_rng(9))
    law = target.law(shape.depth + 1)
    assert not agrees(number(whole, TOKENS), law).agrees
    # The completion itself is not to blame.
    right = EVERYTHING["tree-recursive-with-replacement"]
    emitted, lengths = run(right, shape, target, draft, drawn)
    whole = complete(target, emitted, lengths, np.random.default_rng(9))
    assert agrees(number(whole, TOKENS), law).agrees


@pytest.mark.parametrize("name", EVERYTHING)
def test_samplers_keep_the_contract(name):
    subject, shape = EVERYTHING[name], SHAPES["unbalanced"]
    target, draft = pair(shape)
    tokens = draw_trees(shape, draft, 300, np.random.default_rng(4), drawing=drawing_of(subject))
    rows = tree_rows(shape, target, tokens), tree_rows(shape, draft, tokens)
    kept = [row.copy() for row in rows] + [tokens.copy()]
    parents = np.array(shape.parents)
    emitted, lengths = subject.run(parents, *rows, tokens, 6)
    for before, after in zip(kept, [*rows, tokens], strict=True):
        assert (before == after).all()
    again = subject.run(parents, *rows, tokens, 6)
    assert (emitted == again[0]).all()
    assert (lengths == again[1]).all()
    other = subject.run(parents, *rows, tokens, 7)
    assert (emitted != other[0]).any()
    emitted_32, _ = subject.run(parents, *(row.astype(np.float32) for row in rows), tokens, 6)
    assert (emitted_32 == emitted).mean() > 0.98
    # Every output is a path of its own tree, and one token more.
    paths = {path: node for node, path in enumerate(map(shape.path, range(len(shape.parents))))}
    for row, length, drawn in zip(emitted, lengths, tokens, strict=True):
        assert any(
            len(path) == length - 1 and (drawn[list(path)] == row[: length - 1]).all() for path in paths
        )
        assert 0 <= row[length - 1] < TOKENS


@pytest.mark.parametrize("name", [name for name in EVERYTHING if name != "tree-next-request-rows"])
def test_trees_do_not_see_each_other(name):
    subject, shape = EVERYTHING[name], SHAPES["2,1"]
    target, draft = pair(shape)
    drawn = draw_trees(shape, draft, 200, np.random.default_rng(4), drawing=drawing_of(subject))
    changed = drawn.copy()
    changed[100:] = draw_trees(shape, draft, 100, np.random.default_rng(5), drawing=drawing_of(subject))
    first, second = (run(subject, shape, target, draft, tokens) for tokens in (drawn, changed))
    assert (first[0][:100] == second[0][:100]).all()


@pytest.mark.parametrize("name", [name for name, item in EVERYTHING.items() if item.draft != "required"])
def test_samplers_without_draft_rows(name):
    subject, shape = EVERYTHING[name], SHAPES["2,1"]
    target, draft = pair(shape)
    tokens = draw_trees(shape, draft, 50, np.random.default_rng(4), drawing=drawing_of(subject))
    rows = tree_rows(shape, target, tokens)
    parents = np.array(shape.parents)
    with_rows = subject.run(parents, rows, tree_rows(shape, draft, tokens), tokens, 1)
    without_rows = subject.run(parents, rows, None, tokens, 1)
    assert (with_rows[0] == without_rows[0]).all()


def test_every_mutant_says_what_it_is():
    for mutant in MUTANTS:
        assert mutant.name == mutant.subject.name
        assert mutant.cite
        assert mutant.bug_class
        assert mutant.killed_by
        assert mutant.law is None or not mutant.law.lossless
        assert mutant.subject.rule is None or mutant.subject.rule.lossless


def test_completed_law_of_controls_is_the_target():
    shape = SHAPES["2,1"]
    target, draft = pair(shape)
    for control in CONTROLS:
        tokens, mass = all_trees(shape, draft, drawing=drawing_of(control.subject))
        law = control.subject.rule.tree_law(
            shape, tree_rows(shape, target, tokens), tree_rows(shape, draft, tokens), tokens
        )
        off = np.abs(
            completed_law(target, emitted_laws(shape, tokens, law, mass)) - target.law(shape.depth + 1)
        )
        assert (off.max() < 1e-13) == control.lossless, control.name
