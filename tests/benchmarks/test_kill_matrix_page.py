"""The kill matrix on disk and as a page."""

import pytest

from benchmarks import kill_matrix as module
from benchmarks.kill_matrix import kept_matrices, kill_matrix
from benchmarks.kill_matrix_page import page
from benchmarks.zoo.model import all_mutants

MUTANTS = [mutant for mutant in all_mutants() if mutant.name == "streams-by-slot"]


def test_page__has_a_column_for_each_effort(tmp_path):
    keep = tmp_path / "matrix.jsonl"
    for effort in ("quick", "standard"):
        kill_matrix(MUTANTS, [], effort=effort, keep=keep)
    text = page(kept_matrices(keep, MUTANTS, []), alpha=1e-6, seed=1)
    assert "| wrong sampler | what is wrong | class | quick | standard | seen in |" in text
    assert "| quick | 1 of 1 |" in text
    (line,) = (line for line in text.splitlines() if line.startswith("| streams-by-slot"))
    assert line.count("request-seeds") == 2


def test_page__shows_what_was_missed_and_not_run():
    (mutant,) = MUTANTS
    missed = module.MutantOutcome(mutant=mutant, checks=(), seconds=1.0)
    text = page({"quick": ([missed], []), "deep": ([], [])}, alpha=1e-6, seed=1)
    assert "| **nothing** (**missed by request-seeds**), 1.0 s | not run |" in text
    assert "| quick | 0 of 1 | 1 | not run |" in text


def test_kept_outcomes__are_those_of_the_same_code(tmp_path, monkeypatch):
    keep = tmp_path / "matrix.jsonl"
    kill_matrix(MUTANTS, [], keep=keep)
    assert kept_matrices(keep, MUTANTS, [])
    monkeypatch.setattr(module, "code_digest", lambda: "other code")
    assert not kept_matrices(keep, MUTANTS, [])
    monkeypatch.setattr(module, "judge_mutant", _fail)
    with pytest.raises(AssertionError, match="judged again"):
        kill_matrix(MUTANTS, [], keep=keep)


def _fail(*arguments, **settings):
    raise AssertionError("judged again")
