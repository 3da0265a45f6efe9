"""The page of the rules is what the catalogue says."""

from pathlib import Path

from specsim.algorithms import catalogue
from specsim.cli.rules import as_markdown

PAGE = Path(__file__).parents[2] / "docs/rules.md"


def test_rules_page__is_generated() -> None:
    wanted = as_markdown(list(catalogue().values()))
    assert PAGE.read_text() == wanted, "run: specsim rules --markdown > docs/rules.md"


def test_rules_page__has_every_rule_and_reason() -> None:
    page = PAGE.read_text()
    for rule in catalogue().values():
        assert f"| `{rule.name}`" in page
        assert all(reason in page for reason in (*rule.absent.values(), rule.inexact))
