"""A rule is added to a copy of the project exactly as CONTRIBUTING.md says, and everything knows it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import specsim

ROOT = Path(specsim.__file__).resolve().parent.parent
BLOCK = re.compile(r"^`(?P<file>[\w/]+\.py)`\n```python\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)

EXACT = """
from specsim import get_rule, parse_algorithm, paper_pair, simulate, theory
from specsim.validation.instances import tiny_pairs

algorithm = parse_algorithm("damped:draft_length=2")
assert algorithm == get_rule("damped")(draft_length=2)
for pair in tiny_pairs("quick"):
    outcomes = theory.enumerate_outcomes(pair, algorithm)
    assert outcomes.expected_rejections() == theory.expected_rejections(pair, algorithm, exact=True)
    assert (outcomes.round_counts().sum() == theory.expected_target_calls(pair, algorithm, exact=True))
    assert (outcomes.output_law() == theory.target_law(pair, exact=True)).all()
dataset = simulate(paper_pair(6), algorithm, runs=20_000, seed=1)
assert dataset.attrs["engine"] == "literal"
mean = float((dataset.rejection_count * dataset.rejections).sum()) / 20_000
assert abs(mean - theory.expected_rejections(paper_pair(6), algorithm)) < 0.06
"""

CLAIMS = """
import dataclasses
from specsim.validation import validate
from specsim.validation.mutants import get_mutants
from specsim.validation.registry import select_claims
from specsim.validation.running.effort import Effort
from specsim.validation.running.kill_matrix import kill_matrix, without_regressions

small = Effort(name="quick", discrepancy_factor=4.0, max_runs=10**6)
claims = [without_regressions(claim) for claim in select_claims(["*damped*"])]
assert {claim.id for claim in claims} == {"example.damped", "specsim.laws-damped"}, claims
report = validate(claims, effort=small, threads=2)
assert [item.status.value for item in report.claims] == ["agrees", "agrees"], report.claims
matrix = kill_matrix(claims, get_mutants(["damped-is-ratio", "theory-tv-without-half"]), small, threads=2)
assert len(matrix.kills) == 2 and not matrix.survivors, matrix
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    for name in ("specsim", "theory", "validation", "paper_figures"):
        shutil.copytree(
            ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.so")
        )
    blocks = list(BLOCK.finditer((ROOT / "CONTRIBUTING.md").read_text()))
    assert 4 <= len(blocks) <= 6
    for block in blocks:
        path = folder / block["file"]
        assert not path.exists()
        path.write_text(block["text"])
    return folder


def python(folder, *arguments):
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_a_new_rule__is_listed_with_its_texts(copy):
    (rule,) = json.loads(python(copy, "-m", "specsim", "rules", "damped", "--json"))["rules"]
    assert rule["lossless"] is True
    assert [text for text, file in rule["texts"].items() if file] == [
        "program",
        "step_law",
        "kernel",
        "claims",
    ]
    assert rule["absent"].keys() == {"torch_rule"}


def test_a_new_rule__is_enumerated_computed_and_simulated(copy):
    python(copy, "-c", EXACT)


@pytest.mark.slow
def test_a_new_rule__has_generated_claims_that_reject_its_mutant(copy):
    python(copy, "-c", CLAIMS)
