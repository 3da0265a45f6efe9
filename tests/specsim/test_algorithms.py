"""Descriptors: what they refuse, what they keep, how they are spelled."""

import dataclasses
import hashlib
import math
from fractions import Fraction

import numpy as np
import pytest

from specsim.algorithms import (
    Autoregressive,
    Batch,
    BatchAsPrinted,
    BlockVerification,
    OverAcceptance,
    RejectionBased,
    Speculative,
    get_rule,
    paths,
    tree,
)
from specsim.errors import InputError
from specsim.grammar import parse_algorithm

HALVES = np.full((2, 2), 0.5)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Speculative, {"draft_length": 0}, "draft_length is 0; give a whole number of at least 1, or None"),
        (Speculative, {"draft_length": 2.0}, "draft_length is 2.0"),
        (Speculative, {"draft_length": True}, "draft_length is True"),
        (Speculative, {"bonus": 1}, "bonus is 1; give True or False"),
        (BlockVerification, {"draft_length": -1}, "draft_length is -1"),
        (BlockVerification, {"bonus": None}, "bonus is None"),
        (OverAcceptance, {"epsilon": -0.1}, "epsilon is -0.1; give a finite number, at least 0"),
        (OverAcceptance, {"epsilon": math.nan}, "epsilon is nan"),
        (OverAcceptance, {"epsilon": math.inf}, "epsilon is inf"),
        (OverAcceptance, {"epsilon": "0.1"}, "epsilon is '0.1'; give a number"),
        (OverAcceptance, {"epsilon": True}, "epsilon is True"),
        (OverAcceptance, {"epsilon": 0, "residual": "best"}, "residual is 'best'; give 'optimal'"),
        (OverAcceptance, {"epsilon": 0, "bonus": "no"}, "bonus is 'no'"),
        (Batch, {"drafts": 0}, "drafts is 0; give a whole number of at least 1, or inf"),
        (Batch, {"drafts": 1.5}, "drafts is 1.5"),
        (Batch, {"drafts": math.nan}, "drafts is nan"),
        (Batch, {"drafts": 2, "draft_length": 0}, "draft_length is 0"),
        (BatchAsPrinted, {"drafts": math.inf, "slip": "inside-loop"}, "drafts is inf; give a whole number"),
        (BatchAsPrinted, {"drafts": 2, "slip": "none"}, "slip is 'none'; give 'inside-loop' or"),
    ],
)
def test_descriptor__refuses_in_one_line(kind, options, message):
    with pytest.raises(InputError, match=message) as caught:
        kind(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("acceptance", "residual", "message"),
    [
        ([[1.5, 0.0], [0.0, 0.0]], HALVES, "acceptance has an entry above 1"),
        ([[-0.5, 0.0], [0.0, 0.0]], HALVES, "acceptance has a negative entry"),
        ([[math.nan, 0.0], [0.0, 0.0]], HALVES, "acceptance has an entry that is not finite"),
        ([["a", 0.0], [0.0, 0.0]], HALVES, r"acceptance\[0, 0\] is 'a'; give floats or Fractions"),
        (HALVES, [[0.5, 0.4], [0.5, 0.5]], r"residual\[0, 0\] sums to 0.9; divide the row by its sum"),
        (HALVES, [[Fraction(1, 3), Fraction(1, 3)]] * 2, r"residual\[0, 0\] sums to 2/3"),
        (HALVES, [[Fraction(1, 3), math.inf]] * 2, r"residual\[0, 1\] is inf"),
        (HALVES, np.full((3, 3), 1 / 3), "acceptance has shape .* contexts and tokens must agree"),
        ([0.5, 0.5], HALVES, r"acceptance has shape \(2,\)"),
        (np.zeros((0, 2)), HALVES, "acceptance has shape"),
    ],
)
def test_rejection_based__refuses_bad_tables(acceptance, residual, message):
    with pytest.raises(InputError, match=message):
        RejectionBased(acceptance=acceptance, residual=residual)


def test_rejection_based__keeps_its_own_read_only_tables():
    table = HALVES.copy()
    rule = RejectionBased(acceptance=table, residual=[[Fraction(1, 3), Fraction(2, 3)]] * 2)
    table[0, 0] = 1.0
    assert rule.acceptance.shape == rule.residual.shape == (1, 2, 2)
    assert rule.acceptance[0, 0, 0] == 0.5
    assert rule.residual[0, 1, 0] == Fraction(1, 3)
    with pytest.raises(ValueError, match="read-only"):
        rule.acceptance[0, 0, 0] = 1.0


def test_rejection_based__residual_rows_of_floats_may_be_off_by_1e_9():
    RejectionBased(acceptance=HALVES, residual=HALVES + np.array([4e-10, 0.0]))
    with pytest.raises(InputError, match="sums to"):
        RejectionBased(acceptance=HALVES, residual=HALVES + np.array([2e-9, 0.0]))


def test_descriptors__are_frozen_and_compare_by_value():
    assert Speculative(draft_length=4) == Speculative(draft_length=4) != Speculative(draft_length=5)
    assert Speculative() != BlockVerification()  # type: ignore[comparison-overlap]
    assert len({Batch(drafts=2), Batch(drafts=2), Batch(drafts=math.inf)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        Speculative().draft_length = 3
    with pytest.raises(TypeError):
        Speculative(4)


def test_epsilon__of_numpy_becomes_a_plain_float():
    assert type(OverAcceptance(epsilon=np.float64(0.25)).epsilon) is float


@pytest.mark.parametrize(
    ("algorithm", "label"),
    [
        (Autoregressive(), "autoregressive"),
        (RejectionBased(acceptance=HALVES, residual=HALVES), "rejection-based"),
        (Batch(drafts=3, draft_length=2), "batch:drafts=3,draft_length=2,bonus=yes"),
        (OverAcceptance(epsilon=0.5, draft_length=1), "over-acceptance:epsilon=0.5,draft_length=1,bonus=yes"),
        (get_rule("k-seq")(drafts=2, draft_length=3), "k-seq:drafts=2,draft_length=3,bonus=yes"),
        (Speculative(), "speculative"),
        (Speculative(draft_length=4, bonus=False), "speculative:draft_length=4,bonus=no"),
        (OverAcceptance(epsilon=Fraction(1, 10)), "over-acceptance:epsilon=1/10"),
        (OverAcceptance(epsilon=0.1, residual="draft"), "over-acceptance:epsilon=0.1,residual=draft"),
        (Batch(drafts=math.inf), "batch:drafts=inf"),
        (Batch(drafts=3, bonus=False), "batch:drafts=3,bonus=no"),
        (BatchAsPrinted(drafts=2, slip="inside-loop"), "batch-as-printed:drafts=2,slip=inside-loop"),
        (BlockVerification(draft_length=3), "block-verification:draft_length=3,bonus=yes"),
    ],
)
def test_label__is_the_spelling_without_defaults_but_for_the_bonus_of_finite_drafts(algorithm, label):
    assert algorithm.label == label


def test_whole_numbers__of_numpy_are_taken_and_become_int():
    for value in (np.int64(3), np.uint8(3)):
        for algorithm in (
            Speculative(draft_length=value),
            Batch(drafts=value),
            BatchAsPrinted(drafts=value, slip="inside-loop"),
            get_rule("k-seq")(drafts=value, draft_length=value),
            get_rule("k-seq")(tree=(2, value)),
        ):
            assert "np." not in repr(algorithm)
    assert Speculative(draft_length=np.int64(3)).identity == Speculative(draft_length=3).identity
    with pytest.raises(InputError, match="draft_length is '3'"):
        Speculative(draft_length="3")


def test_identity__is_what_stored_results_of_earlier_versions_have():
    # SHA-256 as version 0.1.0 wrote them, when the default of a batch was bonus=False.
    old = hashlib.sha256(b"Batch|drafts=2|draft_length=2|bonus=False").hexdigest()
    assert Batch(drafts=2, draft_length=2, bonus=False).identity == old
    assert Batch(drafts=2, draft_length=2).identity != old
    table = b"(1, 2, 2) 1/2 1/2 1/2 1/2"
    old = hashlib.sha256(
        b"RejectionBased|acceptance=%b|residual=%b|draft_length=3|bonus=False" % (table, table)
    )
    again = RejectionBased(acceptance=HALVES, residual=HALVES, draft_length=3, bonus=False)
    assert again.identity == old.hexdigest()


def test_identity__of_a_rule_rests_on_its_name_structure_and_parameters_alone():
    rule = get_rule("k-seq")
    reworded = dataclasses.replace(rule, title="in other words")
    assert rule(draft_length=2) == reworded(draft_length=2)
    assert hash(rule(draft_length=2)) == hash(rule(draft_length=2))
    different = {
        rule(draft_length=2), rule(draft_length=3), rule(draft_length=2, bonus=False), rule(drafts=2),
        rule(tree=(2, 2)), rule(tree=tree((-1, 0, 0, 1))), get_rule("traversal")(draft_length=2),
    }  # fmt: skip
    assert len(different) == 7
    assert rule(tree=(3, 1)) == rule(drafts=3, draft_length=2) == rule(tree=paths(3, 2))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: get_rule("block")(tree=(2, 2)), "rule block verifies chain, not a tree; change"),
        (lambda: get_rule("batch-as-printed")(slip="inside-loop", tree=(2, 2)), "chain, paths, not a tree"),
        (lambda: get_rule("k-seq")(tree=()), "tree is empty"),
        (lambda: get_rule("k-seq")(delta=2), "'delta' is unknown; give one of draft_length, drafts"),
        (lambda: get_rule("k-seq")(gamma=2, draft_length=2), "draft_length and gamma are both given"),
        (lambda: Speculative(draft_length=2, k=2),  # type: ignore[call-arg]
         "draft_length and k are both given"),
        (lambda: get_rule("over-acceptance")(draft_length=2), "epsilon is missing; give epsilon="),
        (lambda: get_rule("over-acceptance")(epsilon=-1), "epsilon is -1; give a finite number, at least 0"),
        (lambda: get_rule("k-seq")(drawn="greedy"), "drawn is 'greedy'; rule k-seq takes independent"),
        (lambda: get_rule("k-sec"), "unknown rule 'k-sec'; did you mean k-seq"),
        (lambda: get_rule("rejection-based")(acceptance=HALVES, residual=2 * HALVES), "sums to 2"),
    ],
)  # fmt: skip
def test_rule__refuses_in_one_line(build, message):
    with pytest.raises(InputError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["gamma", "k", "num_speculative_tokens"])
def test_draft_length__by_other_names(name):
    """Papers and engines call it otherwise; descriptors, rules and the grammar take their names."""
    expected = Speculative(draft_length=4)
    assert Speculative(**{name: 4}) == parse_algorithm(f"speculative:{name}=4") == expected
    assert get_rule("k-seq")(drafts=2, **{name: 4}) == get_rule("k-seq")(drafts=2, draft_length=4)
