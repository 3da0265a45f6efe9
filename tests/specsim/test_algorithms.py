"""Descriptors: what they refuse, what they keep, how they are spelled."""

import dataclasses
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
)
from specsim.algorithms.descriptors import check_draft_length
from specsim.errors import InputError

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
        ([["a", 0.0], [0.0, 0.0]], HALVES, "acceptance is not an array of numbers"),
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
    assert Speculative() != BlockVerification()
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
        (Speculative(), "speculative"),
        (Speculative(draft_length=4, bonus=False), "speculative:draft_length=4,bonus=no"),
        (OverAcceptance(epsilon=Fraction(1, 10)), "over-acceptance:epsilon=1/10"),
        (OverAcceptance(epsilon=0.1, residual="draft"), "over-acceptance:epsilon=0.1,residual=draft"),
        (Batch(drafts=math.inf), "batch:drafts=inf"),
        (Batch(drafts=3, bonus=True), "batch:drafts=3,bonus=yes"),
        (BatchAsPrinted(drafts=2, slip="inside-loop"), "batch-as-printed:drafts=2,slip=inside-loop"),
        (BlockVerification(draft_length=3), "block-verification:draft_length=3"),
    ],
)
def test_label__is_the_spelling_without_defaults(algorithm, label):
    assert algorithm.label == label


def test_check_draft_length__takes_none_and_whole_numbers():
    check_draft_length(None)
    check_draft_length(1)
    with pytest.raises(InputError, match="draft_length is '3'"):
        check_draft_length("3")
