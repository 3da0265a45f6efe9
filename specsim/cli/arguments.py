"""PAIR and ALGORITHM, the arguments that the commands share, and their help."""

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from specsim.algorithms import catalogue
from specsim.algorithms.rule import aliases
from specsim.cli.completing import algorithms, pairs
from specsim.grammar import ALGORITHMS, PAIRS, Entry

F = Callable[..., Any]


def pair_and_algorithm(command: F) -> F:
    """Give a command the arguments ``pair`` and ``algorithm``, as text."""
    command = click.argument("algorithm", metavar="ALGORITHM", shell_complete=algorithms)(command)
    return click.argument("pair", metavar="PAIR", shell_complete=pairs)(command)


def horizon_option(command: F) -> F:
    """Give a command the option ``--horizon``."""
    return click.option(
        "--horizon", type=int, metavar="N", help="Tokens to emit. Default: the pair's own horizon."
    )(command)


def engine_option(command: F) -> F:
    """Give a command the option ``--engine``; the request is checked elsewhere."""
    return click.option(
        "--engine",
        default="auto",
        show_default=True,
        metavar="NAME",
        help="Which simulator: lockstep, literal, alias, population, torch (lockstep on a GPU), or auto: "
        "lockstep where it serves, else literal.",
    )(command)


def plot_option(command: F) -> F:
    """Give a command the option ``--plot``; its name is checked before any work is done."""

    def check(_: click.Context, __: click.Parameter, value: str | None) -> Path | None:
        from specsim.plot import check_file

        return None if value is None else check_file(value)

    return click.option(
        "--plot",
        "plot",
        callback=check,
        metavar="FILE",
        help="Draw the result, too: FILE.png, FILE.svg or FILE.pdf.",
    )(command)


def help_with_grammar(text: str, examples: str) -> str:
    """Return the help of a command: text, what PAIR and ALGORITHM can be, examples."""
    parts = [text, "\b\nPAIR is a netCDF file or one of", _listed(PAIRS), "\b\nALGORITHM is one of"]
    short = [name for name, rule in catalogue().items() if not rule.parameters]
    listed = {name: entry for name, entry in ALGORITHMS.items() if name not in {*short, *aliases()}}
    parts += [_listed(listed), _RULES + "\n".join(_wrapped(", ".join(short)))]
    parts += [_OWN, "\b\nExamples:\n" + examples]
    return "\n\n".join(parts)


def _wrapped(text: str) -> list[str]:
    indent = " " * 8
    return textwrap.wrap(text, 92, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


_RULES = """\b
  NAME, a rule of the catalogue (see specsim rules NAME), as in k-seq:drafts=3,draft_length=2
      Keys as far as the rule serves them: draft_length, drafts, tree=2-2-1 (children by depth) or
      tree=0.0.1 (parent of each drafted token), bonus=yes or no, drawn.
"""

_OWN = """\b
  FILE.py:RULE, a rule that @specsim.rule makes in a Python file, as in my_rules.py:damped:draft_length=4
      Keys as above; the file is run.
"""


def _listed(table: Mapping[str, Entry]) -> str:
    paragraphs = []
    for keyword, entry in table.items():
        required = ",".join(f"{key}=..." for key in entry.required)
        short = f"{keyword}:N, that is " if entry.first else ""
        lines = [f"  {short}{keyword}{':' if required else ''}{required}", f"      {entry.help}"]
        for key, kind in entry.keys.items():
            must = "" if key in entry.required else " (optional)"
            text = f"{key}{must}: {kind.description}"
            lines += textwrap.wrap(text, 92, initial_indent=" " * 8, subsequent_indent=" " * 12)
        paragraphs.append("\n".join(["\b", *lines]))
    return "\n\n".join(paragraphs)
