"""A researcher's own rule: bias, laws, files of rules, errors."""

from __future__ import annotations

import importlib
import pickle
import shutil
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import specsim
from specsim.algorithms import Rule, chain, levels, paths, rule_files
from specsim.algorithms.rule_files import read_rule, read_rules
from specsim.errors import InputError
from specsim.theory import enumerate_outcomes, target_law

RULES = '''
import specsim


def draw(weights, coin):
    total = 0.0
    for weight in weights:
        total += weight
    level = coin * total
    for token in range(len(weights)):
        level -= weights[token]
        if level < 0.0:
            return token
    return -1


def test_and_replace(step, nodes, share, coin):
    target, draft, left = step.target, step.draft, step.room[0]
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        if step.coin[i] * draft[row, x] >= share * min(target[row, x], draft[row, x]):
            for y in range(target.shape[1]):
                left[y] = target[row, y] - share * min(target[row, y], draft[row, y])
            return i - 1, draw(left, step.coin[coin * i])
    return nodes - 1, -1


@specsim.rule("damped", source="mine", lossless=True, structures=("chain", "paths", "tree"))
def damped(step, nodes):
    """Accept with 0.75 min(1, T / D)."""
    return test_and_replace(step, nodes, 0.75, 0)


@specsim.rule("reused-coin", source="mine", lossless=True)
def reused_coin(step, nodes):
    """Draw the replacement with the coin of the failed test."""
    return test_and_replace(step, nodes, 1.0, 1)


@specsim.rule(
    "shared", source="mine", lossless=True,
    parameters={"share": specsim.algorithms.Parameter(meaning="Share of the draft.", default=0.5)},
)
def shared(step, nodes):
    return test_and_replace(step, nodes, step.param[0, 0], 0)
'''


@pytest.fixture
def rules(tmp_path: Path) -> dict[str, Rule]:
    file = tmp_path / "my_rules.py"
    file.write_text(RULES)
    return read_rules(file)


def test_rule__has_facts_and_makes_algorithms(rules: dict[str, Any]) -> None:
    damped = rules["damped"]
    assert (damped.title, damped.source, damped.lossless) == ("Accept with 0.75 min(1, T / D).", "mine", True)
    assert damped.structures == ("chain", "paths", "tree")
    algorithm = damped(draft_length=4, bonus=False)
    assert algorithm.label == "damped:draft_length=4,bonus=no"
    assert algorithm == damped(draft_length=4, bonus=False)
    assert algorithm != rules["reused-coin"](draft_length=4, bonus=False)


def test_bias__proves_and_refutes(rules: dict[str, Any]) -> None:
    assert rules["damped"].bias(chain(2)) == 0
    biased = rules["reused-coin"]
    worst = biased.worst(chain(2))
    assert worst.value == biased.bias(chain(2)) > 0
    assert abs(worst.found - worst.wanted) == worst.value
    assert f"bias {worst.value}" in str(worst)
    assert "at the start: " in str(worst)
    assert biased.bias(chain(1), pair=specsim.paper_pair(2)) > 0
    assert rules["damped"].bias(chain(1), pair=specsim.paper_pair(2)) == 0


def test_bias__depends_on_the_seed_alone(rules: dict[str, Any]) -> None:
    biased = rules["reused-coin"]
    first, second = (biased.worst(chain(1), seed=seed, tokens=4) for seed in (0, 1))
    assert first.pair != second.pair
    assert second == biased.worst(chain(1), seed=1, tokens=4)


def test_parameters__are_of_the_rule(rules: dict[str, Any]) -> None:
    shared = rules["shared"]
    assert shared.bias(chain(2), share=Fraction(1, 3)) == 0
    assert shared.bias(chain(2)) == 0
    pair = specsim.random_pair(contexts=2, horizon=2, family="uniform", seed=5)
    rejections = [
        enumerate_outcomes(pair, shared(draft_length=1, share=share)).expected_rejections()
        for share in (Fraction(1, 2), Fraction(1, 4), 1)
    ]
    ratio = enumerate_outcomes(pair, specsim.Speculative(draft_length=1)).expected_rejections()
    assert rejections[1] > rejections[0] > rejections[2] == ratio
    with pytest.raises(InputError, match="rule shared: parameter 'shares' is unknown; did you mean share"):
        shared.bias(chain(1), shares=1)


def test_outcomes__are_enumerated_from_the_text(rules: dict[str, Any]) -> None:
    pair = specsim.random_pair(contexts=3, horizon=2, family="uniform", seed=5, initial="random")
    for name, lossless in (("damped", True), ("reused-coin", False)):
        outcomes = enumerate_outcomes(pair, rules[name](draft_length=2))
        assert (outcomes.output_law() == target_law(pair, exact=True)).all() == lossless


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "Two Words"}, "name is 'Two Words'; use lower-case words joined by hyphens"),
        ({"name": "block"}, "name is 'block', a rule of the catalogue; choose another"),
        ({"lossless": "yes"}, "lossless is 'yes'; give True or False"),
        ({"drafts": "own"}, "drafts has 'own'; give some of independent, distinct, greedy"),
        ({"structures": ("ring",)}, "structures has 'ring'; give some of chain, paths, tree"),
        ({"structures": ()}, "structures has ''; give some of"),
    ],
)
def test_rule__bad_facts_are_refused(options: dict[str, Any], message: str) -> None:
    facts: dict[str, Any] = {"name": "mine", "source": "mine", "lossless": True, **options}
    with pytest.raises(InputError, match=message):
        specsim.rule(facts.pop("name"), **facts)


def test_rule__needs_a_function_of_two() -> None:
    with pytest.raises(InputError, match=r"rule mine is .*; give a function of step and nodes"):
        specsim.rule("mine", source="mine", lossless=True)(lambda step: (0, 0))


def test_structures__are_those_of_the_rule(rules: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="rule shared verifies chain, not a paths"):
        rules["shared"].bias(paths(2, 1))
    with pytest.raises(InputError, match="instances is 0"):
        rules["damped"].bias(chain(1), instances=0)
    with pytest.raises(InputError, match="tokens is 1; give 2 to 12"):
        rules["damped"].bias(chain(1), tokens=1)
    with pytest.raises(InputError, match="more than 10000; use fewer tokens"):
        rules["damped"].bias(chain(9), tokens=9)


def test_rule__travels_between_processes_as_its_file(rules: dict[str, Any]) -> None:
    algorithm = rules["damped"](draft_length=2)
    again = pickle.loads(pickle.dumps(algorithm))
    assert again == algorithm
    assert again.rule is rules["damped"]


def test_identity__changes_with_the_file(rules: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(RULES.replace("0.75", "0.5"))
    assert read_rule(tmp_path / "other.py", "damped")(draft_length=2) != rules["damped"](draft_length=2)


IMPORTING = """
import specsim
from NAME import SHARE, test

@specsim.rule("imported", source="mine", lossless=False)
def imported(step, nodes):
    if test(step.coin[1], SHARE):
        return nodes - 1, -1
    return 0, 0
"""
IMPORTED = """
from numba.extending import register_jitable

SHARE = 0.5

@register_jitable
def test(coin, share):
    return coin < share
"""


@pytest.mark.parametrize(("old", "new"), [("0.5", "0.25"), ("coin < share", "coin > share + 0.25")])
def test_identity_and_machine_code__follow_what_the_rule_imports(old: str, new: str, tmp_path: Path) -> None:
    # The rule's own file, and its place, stay as they are.
    (tmp_path / "rule_a.py").write_text(IMPORTING.replace("NAME", "helpers_of_a_rule"))
    pair = specsim.paper_pair(4)
    accepted, identities = [], []
    for text in (IMPORTED, IMPORTED.replace(old, new)):
        (tmp_path / "helpers_of_a_rule.py").write_text(text)
        sys.modules.pop("helpers_of_a_rule", None)
        rule_files._read.clear()
        importlib.invalidate_caches()
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        algorithm = read_rule(tmp_path / "rule_a.py", "imported")(draft_length=1)
        identities.append(algorithm.identity)
        found = specsim.simulate(pair, algorithm, runs=20_000, seed=1)
        accepted.append(found["first_accepted_length_count"].values[1] / 20_000)
    assert identities[0] != identities[1]
    assert accepted == pytest.approx([0.5, 0.25], abs=0.02)


def test_grammar__reads_rules_from_files(
    rules: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert specsim.parse_algorithm("my_rules.py:damped:draft_length=4") == rules["damped"](draft_length=4)
    assert specsim.parse_algorithm(f"{tmp_path}/my_rules.py:damped") == rules["damped"]()
    shared = specsim.parse_algorithm("my_rules.py:shared:share=1/3,draft_length=2,bonus=no")
    assert shared.parameters == {"share": Fraction(1, 3)}
    tree = specsim.parse_algorithm("my_rules.py:damped:tree=2-2")
    assert tree.structure(9) == levels((2, 2))


def test_grammar__takes_a_drive_letter_as_part_of_the_file() -> None:
    from specsim.algorithms.rule_files import split_rule

    assert split_rule(r"C:\x.py:damped") == (r"C:\x.py", "damped", None)
    assert split_rule(r"C:\a b\x.py:damped:draft_length=4") == (r"C:\a b\x.py", "damped", "draft_length=4")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("none.py:damped", r"rule file none.py cannot be read \(No such file or directory\); give its path"),
        ("my_rules.py:dampd", "my_rules.py makes no rule 'dampd'; it makes damped, reused-coin, shared"),
        ("my_rules.py:", "my_rules.py makes no rule ''; it makes damped"),
        ("my_rules.py:damped:factor=2", "algorithm damped has no key 'factor'"),
        ("my_rules.py:shared:drafts=2", "algorithm shared has no key 'drafts'"),
        ("empty.py:damped", r"it makes none; write @specsim.rule\(...\) in it"),
        (
            "raising.py:damped",
            "rule file raising.py, line 3: ZeroDivisionError: division by zero; mend the file",
        ),
        ("broken.py:damped", "rule file broken.py, line 1: SyntaxError: .*; mend the file"),
        ("leaving.py:damped", "rule file leaving.py, line 1: SystemExit: 0; mend the file"),
        ("twice.py:one", "rule file twice.py makes two rules 'one'; rename one"),
        (
            "taken.py:block",
            "rule file taken.py, line 2: name is 'block', a rule of the catalogue; choose another",
        ),
    ],
)
def test_grammar__bad_files_are_refused(
    text: str, message: str, rules: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.py").write_text("")
    Path("raising.py").write_text("\n\n1 / 0\n")
    Path("broken.py").write_text("def (\n")
    Path("leaving.py").write_text("raise SystemExit(0)\n")
    made = "@specsim.rule('one', source='mine', lossless=True)\ndef {}(step, nodes):\n    return 0, 0\n"
    Path("twice.py").write_text("import specsim\n" + made.format("first") + made.format("second"))
    Path("taken.py").write_text("import specsim\nspecsim.rule('block', source='mine', lossless=True)\n")
    with pytest.raises(InputError, match=message):
        specsim.parse_algorithm(text)
