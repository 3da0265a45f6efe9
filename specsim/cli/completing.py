"""What the shell completes: pairs, algorithms, rules, claims, figures and checks."""

import re
from collections.abc import Callable, Iterable, Mapping

import click
from click.shell_completion import CompletionItem

from specsim.grammar import ALGORITHMS, PAIRS, Entry

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _spelled(table: Mapping[str, Entry], incomplete: str) -> list[CompletionItem]:
    """Complete a keyword, then its keys, then values that can be listed."""
    keyword, colon, rest = incomplete.partition(":")
    if not colon:
        return [
            CompletionItem(f"{name}:" if entry.required else name, help=entry.help)
            for name, entry in table.items()
            if name.startswith(incomplete)
        ]
    if keyword not in table:
        return []
    entry = table[keyword]
    if entry.last and (inner := re.search(rf"(?:^|,){entry.last}=", rest)):
        # What follows is a pair of its own.
        start = incomplete[: len(keyword) + 1 + inner.end()]
        found = _spelled(table, rest[inner.end() :])
        return [CompletionItem(start + item.value, help=item.help) for item in found]
    before, comma, last = rest.rpartition(",")
    given = {part.partition("=")[0] for part in before.split(",")}
    start = f"{keyword}:{before}{comma}"
    return [
        CompletionItem(f"{start}{key}=", help=kind.description)
        for key, kind in entry.keys.items()
        if key not in given and key.startswith(last)
    ]


def pairs(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a pair: its constructor, or a file."""
    return _spelled(PAIRS, incomplete) or [CompletionItem(incomplete, type="file")]


def algorithms(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete an algorithm, or a file of rules."""
    return _spelled(ALGORITHMS, incomplete) or [CompletionItem(incomplete, type="file")]


def systems(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a system, or an algorithm."""
    from specsim.systems import SYSTEMS

    found = _spelled(SYSTEMS | ALGORITHMS, incomplete)
    return found or [CompletionItem(incomplete, type="file")]


def _named(names: Callable[[], Iterable[str]]) -> Complete:
    """Return the completion of names that are listed only when they are asked for."""

    def complete(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in names() if name.startswith(incomplete)]

    return complete


def _rules() -> Iterable[str]:
    from specsim.algorithms import catalogue

    return catalogue()


def _claims() -> Iterable[str]:
    from specsim.validation.registry import all_claims

    return [claim.id for claim in all_claims()]


def _checks() -> Iterable[str]:
    from specsim.validation.conformance.checks import all_checks

    return [check.name for check in all_checks()]


def _conformance_rules() -> Iterable[str]:
    from specsim.validation.conformance.rules import all_rules, all_tree_rules

    return dict.fromkeys(rule.name for rule in (*all_rules(), *all_tree_rules()))


def _figures() -> Iterable[str]:
    from specsim.paper_figures import names

    return names()


rules, claims, figures = _named(_rules), _named(_claims), _named(_figures)
checks, conformance_rules = _named(_checks), _named(_conformance_rules)
