"""Exact laws of tree rules, by exhaustive enumeration of the tokens of small trees."""

import numpy as np
import pytest
from specsim_tests_zoo import accepted_mean, constant_rows, random_rows

from specsim.algorithms import levels
from specsim.errors import InputError
from specsim.validation.conformance.instances import number
from specsim.validation.conformance.rules import all_tree_rules, get_rule
from specsim.validation.conformance.rules.lossless import BLOCK, LOSSLESS_UNDER, RATIO
from specsim.validation.conformance.rules.tree_bugs import BIASED_UNDER
from specsim.validation.conformance.tree_instances import (
    DRAWINGS,
    SHAPES,
    all_trees,
    completed_law,
    draw_trees,
    emitted_laws,
    next_child_law,
    tree_rows,
)
from specsim.validation.statistics import decide_law_by_cells_and_entropy

RULES = {rule.name: rule for rule in all_tree_rules()}
PAIRS = [(name, drawing) for name, drawings in LOSSLESS_UNDER.items() for drawing in drawings]
BUGS = [name for name, rule in RULES.items() if not rule.lossless]
DRAFT, TARGET = np.array([0.2, 0.45, 0.1, 0.25]), np.array([0.5, 0.3, 0.15, 0.05])


def tables(rule, shape, target, draft, drawing):
    tokens, mass = all_trees(shape, draft, drawing=drawing)
    assert mass.sum() == pytest.approx(1, abs=1e-12)
    found = rule.tree_law(shape, tree_rows(shape, target, tokens), tree_rows(shape, draft, tokens), tokens)
    assert found.shape == (len(tokens), len(shape.parents), target.vocabulary)
    assert found.min() >= -1e-15
    np.testing.assert_allclose(found.sum(axis=(1, 2)), 1, atol=1e-12)
    return tokens, found, mass


def error(rule, shape, target, draft, drawing):
    """Largest deviation of the completed law from the target's, and the total variation distance."""
    tokens, found, mass = tables(rule, shape, target, draft, drawing)
    law = completed_law(target, emitted_laws(shape, tokens, found, mass))
    off = np.abs(law - target.law(shape.depth + 1))
    return off.max(), 0.5 * off.sum()


def distance(rule, shape, drawing, length=None):
    """Total variation distance on fixture B, of the first `length` tokens."""
    target, draft = constant_rows(TARGET, shape.depth), constant_rows(DRAFT, shape.depth)
    law = completed_law(target, emitted_laws(shape, *tables(rule, shape, target, draft, drawing)))
    length = shape.depth + 1 if length is None else length
    return 0.5 * np.abs(law.reshape(4**length, -1).sum(axis=1) - target.law(length)).sum()


@pytest.mark.parametrize("name", ["recursive-with-replacement", "one-hot-children", "gumbel-match", "k-seq"])
def test_names_that_rules_had_before_still_find_them(name):
    rule = get_rule(name, tree=name != "gumbel-match")
    assert rule.lossless
    assert rule is get_rule(rule.name, tree=name != "gumbel-match")


def test_every_rule_says_how_children_are_drawn():
    assert set(LOSSLESS_UNDER) == {name for name, rule in RULES.items() if rule.lossless}
    assert set(BIASED_UNDER) <= set(BUGS)
    assert {drawing for _, drawing in PAIRS} == set(DRAWINGS)
    for name in BUGS:
        assert RULES[name].bug_class
        assert RULES[name].source


@pytest.mark.parametrize(("name", "drawing"), PAIRS)
def test_lossless_rules_give_the_law_of_the_target(name, drawing):
    for shape in SHAPES.values():
        for seed in range(2):
            generator = np.random.default_rng([seed, len(shape.parents)])
            target = random_rows(3, shape.depth, generator)
            draft = random_rows(3, shape.depth, generator)
            assert error(RULES[name], shape, target, draft, drawing)[0] < 1e-13, (shape, seed)


@pytest.mark.parametrize(("name", "drawing"), [pair for pair in PAIRS if pair[1] == "with"])
@pytest.mark.parametrize("zeros", [(1, 0), (0, 1), (1, 1), (2, 2)])
def test_lossless_rules_on_rows_with_zeros(name, drawing, zeros):
    for shape in map(SHAPES.get, ("2,2", "3,1", "unbalanced")):
        generator = np.random.default_rng([7, len(shape.parents)])
        target = random_rows(3, shape.depth, generator, zeros=zeros[0])
        draft = random_rows(3, shape.depth, generator, zeros=zeros[1])
        assert error(RULES[name], shape, target, draft, drawing)[0] < 1e-13, shape


@pytest.mark.parametrize(("name", "drawing"), PAIRS)
def test_lossless_rules_on_equal_and_on_disjoint_rows(name, drawing):
    shape = SHAPES["2,1"]
    equal = random_rows(3, shape.depth, np.random.default_rng(3))
    assert error(RULES[name], shape, equal, equal, drawing)[0] < 1e-13
    if drawing != "greedy":
        target, draft = constant_rows([0.25, 0.75, 0.0], 2), constant_rows([0.0, 0.0, 1.0], 2)
        assert error(RULES[name], shape, target, draft, drawing)[0] < 1e-13


@pytest.mark.parametrize("name", ["recursive-distinct", "transport-distinct"])
def test_an_exhausted_draft_row_is_continued_uniformly(name):
    target = random_rows(3, 1, np.random.default_rng(5))
    for draft in (constant_rows([0.5, 0.0, 0.5], 1), constant_rows([0.0, 1.0, 0.0], 1)):
        assert error(RULES[name], SHAPES["3"], target, draft, "without")[0] < 1e-13


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize(
    ("name", "chain"),
    [
        ("recursive", RATIO),
        ("recursive-distinct", RATIO),
        ("k-seq", RATIO),
        ("traversal", BLOCK),
        ("traversal-distinct", BLOCK),
    ],
)
def test_a_tree_with_one_branch_is_a_chain(length, name, chain):
    shape = levels([1] * length)
    target, draft = (random_rows(3, length, np.random.default_rng([length, i])) for i in range(2))
    tokens, found, _ = tables(RULES[name], shape, target, draft, "with")
    rows, drafts = tree_rows(shape, target, tokens), tree_rows(shape, draft, tokens)
    np.testing.assert_allclose(found, chain.law(rows, drafts[:, :-1], tokens[:, 1:]), atol=1e-13)


@pytest.mark.parametrize("name", RULES)
def test_laws_of_many_trees_are_those_of_each(name):
    shape = SHAPES["unbalanced"]
    target, draft = (random_rows(4, shape.depth, np.random.default_rng(i)) for i in range(2))
    drawing = LOSSLESS_UNDER.get(name, (BIASED_UNDER.get(name, "with"),))[0]
    tokens = draw_trees(shape, draft, 5, np.random.default_rng(3), drawing=drawing)
    rows, drafts = tree_rows(shape, target, tokens), tree_rows(shape, draft, tokens)
    kept = rows.copy(), drafts.copy()
    found = RULES[name].tree_law(shape, rows, drafts, tokens)
    for b in range(5):
        one = RULES[name].tree_law(shape, rows[b], drafts[b], tokens[b])
        np.testing.assert_allclose(found[b], one, atol=1e-15)
    assert (rows == kept[0]).all()
    assert (drafts == kept[1]).all()


STARS = {
    "recursive": (0.65, 0.755, 0.819),
    "recursive-distinct": (0.65, 0.805974, 0.935931),
    "recursive-any-order": (0.65, 0.755, 0.819),
    "traversal": (0.65, 0.755, 0.819),
    "k-seq": (0.65, 0.788098, 0.858519),
    "transport": (0.65, 0.86, 0.988),
    "transport-distinct": (0.65, 0.952525, 1.0),
    "greedy-drafts": (0.65, 0.863636, 1.0),
}
TREES = {
    "recursive": {"1,1": 1.0725, "2,1": 1.24575, "1,2": 1.14075, "2,2": 1.325025},
    "traversal": {"1,1": 1.1350, "2,1": 1.30825, "1,2": 1.20850, "2,2": 1.392775},
    "recursive-distinct": {"1,1": 1.0725, "2,1": 1.329857, "1,2": 1.173883, "2,2": 1.455568},
    "traversal-distinct": {"1,1": 1.1350, "2,1": 1.394110, "1,2": 1.239935, "2,2": 1.524176},
}
EXPECTED = [(name, str(k), value) for name, row in STARS.items() for k, value in enumerate(row, start=1)]
EXPECTED += [(name, shape, value) for name, row in TREES.items() for shape, value in row.items()]


@pytest.mark.parametrize(("name", "shape", "value"), EXPECTED)
def test_accepted_tokens_on_fixture_b(name, shape, value):
    shape = SHAPES[shape]
    target, draft = constant_rows(TARGET, shape.depth), constant_rows(DRAFT, shape.depth)
    _, found, mass = tables(RULES[name], shape, target, draft, LOSSLESS_UNDER[name][0])
    assert accepted_mean(shape, found, mass) == pytest.approx(value, abs=5e-7)


@pytest.mark.parametrize(
    ("name", "shape", "length", "value"),
    [
        ("independent-tests", SHAPES["2"], 1, 0.125),
        ("independent-tests", SHAPES["3"], 1, 0.169),
        ("target-draw-per-branch", SHAPES["2"], 1, 0.056),
        ("draft-row-not-renormalised", SHAPES["2"], 1, 0.0155),
        ("with-verified-as-without", SHAPES["2"], 1, 0.0160),
        ("longest-of-independent-chains", SHAPES["2,1"], 1, 0.125),
        ("longest-of-independent-chains", SHAPES["2,1"], 2, 0.132),
        ("first-child-unverified", SHAPES["1"], 1, 0.350),
        ("greedy-acceptance", SHAPES["1"], 1, 0.100),
        ("recovery-from-target", SHAPES["1"], 1, 0.125),
        ("zeroed-residual", SHAPES["1"], 1, 0.088),
    ],
)
def test_distance_of_bugs_on_fixture_b(name, shape, length, value):
    drawing = "with" if shape.kind == "chain" else BIASED_UNDER.get(name, "with")
    places = 5e-5 if value < 0.05 else 5e-4
    assert distance(RULES[name], shape, drawing, length) == pytest.approx(value, abs=places)


@pytest.mark.parametrize("name", BUGS)
def test_every_bug_is_biased_on_rows_that_depend_on_the_path(name):
    drawing = BIASED_UNDER.get(name, "with")
    worst = 0.0
    for shape in ("2,2", "unbalanced"):
        generator = np.random.default_rng(11)
        rows = [random_rows(3, SHAPES[shape].depth, generator) for _ in range(2)]
        worst = max(worst, error(RULES[name], SHAPES[shape], *rows, drawing=drawing)[1])
    assert worst > 0.002


@pytest.mark.parametrize(
    "name", ["residual-from-root-rows", "wrong-logits-slice", "first-sibling-rows", "draft-row-of-child"]
)
def test_equal_rows_hide_row_mix_ups(name):
    assert distance(RULES[name], SHAPES["2,1"], "with") < 1e-14


def test_duplicates_are_what_makes_the_summed_coin_wrong():
    target, draft = (random_rows(3, 2, np.random.default_rng(i)) for i in range(2))
    for drawing, biased in (("without", False), ("with", True)):
        found = error(RULES["duplicates-summed"], SHAPES["2,1"], target, draft, drawing)[0]
        assert (found > 1e-3) == biased


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_drawn_trees_have_the_enumerated_law(drawing):
    shape, runs = SHAPES["2,1"], 40_000
    draft = random_rows(3, shape.depth, np.random.default_rng(2))
    tokens, mass = all_trees(shape, draft, drawing=drawing)
    drawn = draw_trees(shape, draft, runs, np.random.default_rng(3), drawing=drawing)
    assert (drawn[:, 0] == -1).all()
    law = np.zeros(3 ** (len(shape.parents) - 1))
    law[number(tokens[:, 1:], 3)] = mass
    counts = np.bincount(number(drawn[:, 1:], 3), minlength=len(law))
    decision = decide_law_by_cells_and_entropy(counts=counts, runs=runs, probabilities=law, alpha=1e-9)
    assert decision.agrees, decision
    if drawing != "with":
        assert (drawn[:, 1] != drawn[:, 2]).all()


def test_drawings_refuse_nonsense():
    with pytest.raises(InputError, match="drawing is 'some'"):
        next_child_law(DRAFT, np.zeros(0, int), 2, "some")
    with pytest.raises(InputError, match="5 children, more than the 4 tokens"):
        next_child_law(DRAFT, np.zeros(0, int), 5, "without")
