"""Exact laws of verification rules, right and wrong, and the lists of them."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from specsim.algorithms.rule import aliases
from specsim.errors import InputError
from specsim.support.checks import unknown
from specsim.validation.conformance.rules.base import Rule, position_rule

__all__ = ["Rule", "all_rules", "all_tree_rules", "get_rule", "position_rule"]

#: Modules of this package that define rules, as module-level names.
_MODULES = (
    "lossless",
    "drafters",
    "lossy",
    "bugs",
    "block_bugs",
    "draft_bugs",
    "row_bugs",
    "coin_bugs",
    "tree_bugs",
    "tree_bug_laws",
)


@cache
def _listed(tree: bool) -> tuple[Rule, ...]:
    found: list[Rule] = []
    for module in _MODULES:
        names = vars(import_module(f"{__name__}.{module}"))
        found += names.get("RULES", {}).values()
        found += [
            value for key, value in names.items() if isinstance(value, Rule) and not key.startswith("_")
        ]
    unique = tuple(rule for rule in dict.fromkeys(found) if rule.serves(tree=tree))
    names_of = [rule.name for rule in unique]
    for name in names_of:
        if names_of.count(name) > 1:
            raise InputError(f"rule {name} is defined twice; names must differ")
    return tuple(sorted(unique, key=lambda rule: not rule.lossless))


def all_rules() -> tuple[Rule, ...]:
    """Return every rule for chains of drafts, lossless ones first."""
    return _listed(False)


def all_tree_rules() -> tuple[Rule, ...]:
    """Return every rule for trees of drafts, lossless ones first."""
    return _listed(True)


def get_rule(rule: str | Rule, *, tree: bool = False) -> Rule:
    """Return the rule of this name, or of this other name of a rule of the catalogue.

    Raises
    ------
    InputError
        There is none for chains, or for trees.

    Examples
    --------
    >>> from specsim.testing import get_rule
    >>> get_rule("block").title
    'accept the longest prefix that passes its test; replace the next token from a weighted residual'
    """
    if isinstance(rule, Rule):
        return rule
    rules = {item.name: item for item in _listed(tree)}
    rules |= {alias: rules[name] for alias, name in aliases().items() if name in rules}
    if rule not in rules:
        lossless = ", ".join(name for name, item in rules.items() if item.lossless)
        if any(item.name == rule for item in _listed(not tree)):
            here, there = ("trees", "chains") if tree else ("chains", "trees")
            raise InputError(f"rule {rule} is a rule of {there}; for {here} give one of {lossless}")
        unknown("rule", rule, rules, remedy=f"give one of {lossless}")
    return rules[rule]
