"""The catalogue: every rule has its facts, and each of its texts or the reason why not."""

import ast
import re
from pathlib import Path

import pytest

import specsim
from specsim import catalogue, get_rule
from specsim.algorithms.rule import REQUIRED, TEXTS
from specsim.errors import UnsupportedError

ROOT = Path(specsim.__file__).resolve().parent
RULES = pytest.mark.parametrize("rule", catalogue().values(), ids=lambda rule: rule.name)


def without_a_reason(rule):
    """Return the texts that are neither there nor explained."""
    return set(TEXTS) - set(rule.texts) - rule.absent.keys()


def explained_though_there(rule):
    """Return the texts that exist in spite of a reason why they do not."""
    return set(rule.texts) & rule.absent.keys()


@RULES
def test_texts__exist_or_have_a_reason(rule):
    assert without_a_reason(rule) == set()
    assert explained_though_there(rule) == set()
    assert all(len(reason) > 20 for reason in rule.absent.values())


@RULES
def test_texts__are_what_their_folders_promise(rule):
    promised = {
        "program": {"program"}, "step_law": {"law", "node_step"}, "kernel": {"verify"}, "claims": {"CLAIMS"},
    }  # fmt: skip
    for text in rule.texts:
        if text in promised:
            assert promised[text] & vars(rule.text(text)).keys()
    for text in rule.absent:
        with pytest.raises(UnsupportedError, match=re.escape(rule.absent[text])):
            rule.text(text)


def test_completeness__sees_a_missing_text_and_a_reason_too_many():
    import dataclasses

    unexplained = dataclasses.replace(get_rule("two-step"), absent={})
    assert without_a_reason(unexplained) == {"torch_rule", "claims"}
    excused = dataclasses.replace(get_rule("block"), absent={"kernel": "nobody has written one so far"})
    assert explained_though_there(excused) == {"kernel"}


@RULES
def test_facts__are_complete(rule):
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.name)
    assert rule.title
    assert rule.title[-1] not in ".;,"
    assert re.search(r"\d{4}\.\d{5}|\w+/[\w.-]+#\d+", rule.source)
    assert rule.structures
    assert rule.drawings
    for parameter in rule.parameters.values():
        assert parameter.meaning.endswith(".")
        assert bool(parameter.choices) == (parameter.kind == "choice")
        assert parameter.default is REQUIRED or parameter.kind != "table"


def test_kernels_and_torch_rules__belong_to_rules():
    names = {rule.module for rule in catalogue().values()}
    for folder in (TEXTS["kernel"], TEXTS["torch_rule"]):
        assert {path.stem for path in (ROOT / folder).glob("[a-z]*.py")} <= names


def test_kernels__have_at_most_45_lines():
    for path in (ROOT / TEXTS["kernel"]).glob("[a-z]*.py"):
        text = path.read_text()
        if re.search(r"^from specsim.engines.literal.kernels.\w+ import verify$", text, re.MULTILINE):
            continue
        kernel = re.search(r"^def verify\(.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
        assert kernel, path
        assert len(kernel[0].strip().splitlines()) <= 45, path


#: Most lines of code of a rule: facts, program, step law, kernel and torch rule.
MOST_LINES = 180
#: Helpers of one rule alone, which count as its own.
HELPERS = {"gumbel": ["theory/step_laws/shared_noise.py"]}
FOLDERS = ["algorithms/rules", *(TEXTS[text] for text in TEXTS if text != "claims")]


def lines_of_code(path):
    """Count lines that are not blank, comments or docstrings (with their examples)."""
    lines = path.read_text().splitlines()
    described = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            described |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    texts = [line.strip() for number, line in enumerate(lines, 1) if number not in described]
    return sum(bool(text) and not text.startswith("#") for text in texts)


def lines_of_rule(module):
    """Count the lines of all texts of a rule."""
    files = [ROOT / folder / f"{module}.py" for folder in FOLDERS]
    files += [ROOT / helper for helper in HELPERS.get(module, [])]
    return sum(lines_of_code(path) for path in files if path.exists())


@RULES
def test_texts__of_a_rule_are_short(rule):
    """A rule and its form for distinct children share texts: the two together have twice the lines."""
    base = rule.module.removesuffix("_distinct")
    modules = [
        name for name in (base, f"{base}_distinct") if name in {r.module for r in catalogue().values()}
    ]
    assert sum(map(lines_of_rule, modules)) <= MOST_LINES * len(modules)
