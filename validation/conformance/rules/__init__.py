"""Exact laws of verification rules, right and wrong, and the lists of them."""

from __future__ import annotations

import difflib
from functools import cache
from importlib import import_module
from typing import Any

from specsim.errors import InputError
from specsim.validation.conformance.rules.base import Rule, TreeRule, position_rule

__all__ = ["Rule", "TreeRule", "all_rules", "all_tree_rules", "get_rule", "position_rule"]

#: Modules of this package that define rules, as module-level names.
_MODULES = (
    "lossless",
    "couplings",
    "drafters",
    "lossy",
    "bugs",
    "block_bugs",
    "draft_bugs",
    "row_bugs",
    "coin_bugs",
    "trees",
    "tree_bugs",
)


@cache
def _listed(kind: type) -> tuple[Any, ...]:
    found: list[Any] = []
    for module in _MODULES:
        names = vars(import_module(f"{__name__}.{module}"))
        found += [
            value for key, value in names.items() if isinstance(value, kind) and not key.startswith("_")
        ]
    unique = tuple(dict.fromkeys(found))
    names_of = [rule.name for rule in unique]
    for name in names_of:
        if names_of.count(name) > 1:
            raise InputError(f"rule {name} is defined twice; names must differ")
    return unique


def all_rules() -> tuple[Rule, ...]:
    """Return every rule for chains of drafts, lossless ones first."""
    return tuple(sorted(_listed(Rule), key=lambda rule: not rule.lossless))


def all_tree_rules() -> tuple[TreeRule, ...]:
    """Return every rule for trees of drafts, lossless ones first."""
    return tuple(sorted(_listed(TreeRule), key=lambda rule: not rule.lossless))


def get_rule(rule: str | Rule | TreeRule, *, tree: bool = False) -> Rule | TreeRule:
    """Return the rule of this name.

    Raises
    ------
    InputError
        There is none.
    """
    if isinstance(rule, Rule | TreeRule):
        return rule
    rules: dict[str, Rule | TreeRule] = {}
    for item in all_tree_rules() if tree else all_rules():
        rules[item.name] = item
    if rule not in rules:
        near = difflib.get_close_matches(str(rule), rules, n=3)
        lossless = ", ".join(name for name, item in rules.items() if item.lossless)
        hint = f"did you mean {' or '.join(near)}?" if near else f"give one of {lossless}"
        raise InputError(f"rule {rule!r} is unknown; {hint}")
    return rules[rule]
