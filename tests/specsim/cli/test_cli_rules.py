"""``specsim rules``: the list, one rule, JSON, and a name that is none."""

import json

from click.testing import CliRunner

from specsim import catalogue
from specsim.algorithms.rule import TEXTS
from specsim.cli.group import main
from specsim.grammar import parse_algorithm


def run(*arguments):
    return CliRunner().invoke(main, ["rules", *arguments])


def test_rules__lists_all_with_sources():
    result = run()
    assert result.exit_code == 0
    for rule in catalogue().values():
        assert rule.name in result.output


def test_rules__json_has_the_documented_facts_of_every_rule():
    rules = json.loads(run("--json").output)["rules"]
    assert [rule["name"] for rule in rules] == list(catalogue())
    documented = {
        "name", "title", "source", "aliases", "spelling", "lossless", "structures", "drawings", "parameters",
        "exact", "inexact", "texts", "absent",
    }  # fmt: skip
    for rule in rules:
        assert rule.keys() == documented
        assert rule["texts"].keys() == set(TEXTS)
        assert {text for text, file in rule["texts"].items() if file is None} == rule["absent"].keys()
        if not any(entry["required"] for entry in rule["parameters"].values()):
            assert parse_algorithm(rule["name"]).rule.name == rule["name"]


def test_rules__one_by_name_or_alias_says_what_is_absent_and_why():
    result = run("optimal-transport")
    assert result.exit_code == 0
    assert "2310.15141" in result.output
    assert "none: the cuts of its plan" in " ".join(result.output.split())


def test_rules__an_unknown_name_is_bad_input():
    result = run("traversel")
    assert result.exit_code == 2
    assert "did you mean traversal" in result.output
