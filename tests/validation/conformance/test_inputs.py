"""What samplers are given: logits, layouts of memory, coins and ends; and what they report with options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.zoo import get_controls, get_mutants
from specsim.validation.conformance import instances as made
from specsim.validation.conformance.calling import Caller, ContractError
from specsim.validation.conformance.checks import layouts, reported
from specsim.validation.conformance.laboratory import TOLERANCES
from specsim.validation.conformance.logits import OFFSETS, logits
from specsim.validation.conformance.results import CheckStatus
from specsim.validation.conformance.running import check_sampler
from specsim.validation.conformance.subjects import Subject

TREE = made.tree_instance(3, vocabulary=4, draft_length=2)


def status(subject, check):
    (result,) = check_sampler(subject, effort="quick", eps=0.2, only=[check]).checks
    return result.status


# Logits.


@pytest.mark.parametrize("kind", ["float64", "float32", "float16"])
def test_logits__are_those_of_the_rows_within_the_stated_tolerance(kind):
    rows = np.concatenate([TREE.target, TREE.draft])
    given = logits(rows, kind).astype(kind).astype(np.float64)
    powers = np.exp(given - given.max(axis=1, keepdims=True))
    law = powers / powers.sum(axis=1, keepdims=True)
    assert np.abs(law / rows - 1).max() <= 8 * TOLERANCES[kind]


@pytest.mark.parametrize("kind", sorted(OFFSETS))
def test_logits__of_a_row_depend_on_the_row_alone(kind):
    rows = np.concatenate([TREE.target, TREE.draft])
    found = {round(float(value)) for value in (logits(rows, kind) - np.log(rows)).ravel()}
    assert found == {round(value) for value in OFFSETS[kind][:4]}
    order = np.random.default_rng(1).permutation(len(rows))
    np.testing.assert_array_equal(logits(rows[order], kind), logits(rows, kind)[order])


def test_logits__keep_what_is_impossible_or_no_number():
    found = logits(np.array([[0.0, 1.0], [np.nan, 0.5]]), "float64")
    assert np.isneginf(found[0, 0])
    assert np.isnan(found[1, 0])


def test_script__defines_the_logits_that_were_given():
    from specsim.validation.conformance import scripts

    subject = Subject(name="none", protocol="step", run=lambda *_, seed: None, inputs="logits")
    target, draft = TREE.rows(np.array([[1, 2], [0, 3]]))
    case = scripts.Case(target=target, draft=draft, law=target, drawn=draft)
    names: dict[str, Any] = {}
    lines = scripts.opening(subject, [], case, "none")
    exec("\n".join([*lines, f"given = {scripts.given(subject, 'target')}"]), names)
    np.testing.assert_array_equal(names["given"], Caller(subject=subject, seed=1).give(target))


# Layouts.


@pytest.mark.parametrize("change", [layouts._every_other, layouts._longer_rows])
@pytest.mark.parametrize("framework", ["numpy", "torch"])
def test_layouts__have_the_same_values_elsewhere(change, framework):
    array = np.arange(24.0).reshape(2, 3, 4)
    if framework == "torch":
        torch = pytest.importorskip("torch")
        tensor = torch.from_numpy(array)
        found = change(tensor)
        assert not found.is_contiguous()
        assert torch.equal(found, tensor)
        assert not layouts._turned(tensor).is_contiguous()
    else:
        found = change(array)
        assert not found.flags.c_contiguous
        np.testing.assert_array_equal(found, array)


def test_layouts__that_are_refused_are_no_failure():
    (control,) = get_controls(["only-contiguous-rows"])
    assert status(control.subject, "layouts") is CheckStatus.PASSED


@pytest.mark.parametrize("name", ["memory-in-its-order", "tokens-of-64-bits"])
def test_layouts__that_are_misread_are_found(name):
    (mutant,) = get_mutants([name])
    assert status(mutant.subject, "layouts") is CheckStatus.FAILED


# Ends.


def test_rows__must_not_go_on_after_an_end():
    tokens, lengths = np.array([[0, 2, 1], [3, 1, 0]]), np.array([3, 2])
    subject = Subject(
        name="fixed",
        protocol="step",
        run=lambda *_, seed, eos: (tokens, lengths),
        options=frozenset({"eos"}),
    )
    rows = np.full((2, 3, 4), 0.25)
    caller = Caller(subject=subject, seed=1)
    with pytest.raises(ContractError, match=r"row 0 goes on after the end of text 0: \[0, 2, 1\]"):
        caller.step(rows, rows[:, 1:], tokens[:, :2], options={"eos": 0})
    caller.step(rows, rows[:, 1:], tokens[:, :2], options={"eos": 1})


# Reports.


def counted(accepted, lengths, seen):
    drafted, tokens = np.array([[1, 2], [2, 0]]), np.array([[1, 2, 0], [2, 1, 0]])
    reported._counts_of_steps({"accepted": np.array(accepted)}, drafted, tokens, np.array(lengths), 2, seen)


def test_accepted_end__is_an_accepted_token():
    seen = reported._Seen()
    counted([2, 1], [2, 1], seen)
    counted([1, 0], [2, 1], seen)  # either could be a replacement
    assert (seen.ends, seen.counted) == (4, 2)
    with pytest.raises(ContractError, match="reports accepted 0 in row 0; it is 1"):
        counted([0, 1], [2, 1], seen)
    counted([1, 1], [2, 2], seen)  # the second row ends with a replacement


@pytest.mark.parametrize(
    "name",
    ["accepted-without-end", "drafted-with-padding", "logprobs-of-the-last-place", "logprobs-of-row-0"],
)
def test_reports__that_are_wrong_with_an_option_are_found(name):
    (mutant,) = get_mutants([name])
    assert status(mutant.subject, "reported") is CheckStatus.BROKEN


# Coins.


def test_coins__of_other_rows_are_found():
    (mutant,) = get_mutants(["coins-of-flat-drafts"])
    assert status(mutant.subject, "forced-coins") is CheckStatus.FAILED
