"""``specsim rules``: the catalogue of verification rules and their facts."""

from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from specsim.algorithms import Rule, catalogue, get_rule
from specsim.algorithms.rule import REQUIRED, TEXTS
from specsim.cli.output import JSON_HELP, show, show_json, table
from specsim.grammar import ALGORITHMS

_HELP = """List the verification rules, or say everything about the rule NAME.

A rule decides what becomes of drafted tokens. With draft lengths, paths or trees it is an algorithm wherever
one is named, such as k-seq:drafts=3,draft_length=2 or traversal:tree=2-2-1.

\b
--json prints {"rules": [...]}, for each rule an object with
  name, title, source   text; the source is an arXiv id with its place, or where the rule was seen
  aliases               other names
  spelling              the keys that must be given and those that may be, as text
  lossless              whether the output has the target's law
  structures            of chain, paths, tree
  drawings              of independent, distinct, greedy, own; the usual one first
  parameters            for each name an object: kind, meaning, required, default, choices
  exact                 whether rational numbers are possible; inexact says why not
  texts                 for each of program, step_law, kernel, torch_rule, claims: the file, or null
  absent                for each text that does not exist: why

\b
Examples:
  specsim rules
  specsim rules k-seq
  specsim rules --json"""


@click.command("rules", help=_HELP)
@click.argument("name", required=False, metavar="[NAME]")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(name: str | None, as_json: bool) -> None:
    """Print the catalogue."""
    rules = list(catalogue().values()) if name is None else [get_rule(name)]
    if as_json:
        show_json({"rules": [facts(rule) for rule in rules]})
    elif name is None:
        show(_overview(rules))
    else:
        show(_details(rules[0]))


def facts(rule: Rule) -> dict[str, Any]:
    """Return what `command` prints as JSON."""
    parameters = {
        name: {
            "kind": entry.kind,
            "meaning": entry.meaning,
            "required": entry.default is REQUIRED,
            "default": None if entry.default is REQUIRED else entry.default,
            "choices": entry.choices,
        }
        for name, entry in rule.parameters.items()
    }
    return {
        "name": rule.name,
        "title": rule.title,
        "source": rule.source,
        "aliases": rule.aliases,
        "spelling": ALGORITHMS[rule.name].usage(rule.name),
        "lossless": rule.lossless,
        "structures": rule.structures,
        "drawings": rule.drawings,
        "parameters": parameters,
        "exact": not rule.inexact,
        "inexact": rule.inexact,
        "texts": {
            text: f"{folder}/{rule.module}.py" if text in rule.texts else None
            for text, folder in TEXTS.items()
        },
        "absent": dict(rule.absent),
    }


def _overview(rules: list[Rule]) -> Table:
    rows = [
        (
            rule.name,
            "yes" if rule.lossless else "no",
            ", ".join(rule.structures),
            ", ".join(rule.drawings),
            f"{escape(rule.title)} ({escape(rule.source)})",
        )
        for rule in rules
    ]
    made = table("Verification rules", ("rule", "lossless", "structures", "drawn", "what it does"), rows=rows)
    made.columns[0].no_wrap = True
    return made


def _details(rule: Rule) -> Table:
    made = Table(title=f"{rule.name}: {escape(rule.title)}", title_justify="left", show_header=False)
    rows = {
        "source": rule.source,
        "other names": ", ".join(rule.aliases),
        "spelling": ALGORITHMS[rule.name].usage(rule.name),
        "lossless": "yes" if rule.lossless else "no",
        "structures": ", ".join(rule.structures),
        "drafts drawn": ", ".join(rule.drawings),
        "exact mode": (rule.inexact and f"no: {rule.inexact}") or "yes",
        **{
            f"parameter {name}": entry.meaning
            + (f" One of {', '.join(entry.choices)}." if entry.choices else "")
            for name, entry in rule.parameters.items()
        },
        **{
            text.replace("_", " "): f"{folder}/{rule.module}.py"
            if text in rule.texts
            else f"none: {rule.absent.get(text, 'not written yet')}"
            for text, folder in TEXTS.items()
        },
    }
    for heading, text in rows.items():
        if text:
            made.add_row(heading, escape(text))
    return made
