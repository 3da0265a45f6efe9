"""PAIR and ALGORITHM, the arguments that the commands share, and their help."""

import textwrap
from collections.abc import Callable
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
        "--horizon", type=int, metavar="N", help="Number of tokens to emit. Default: the horizon of the pair."
    )(command)


def engine_option(command: F) -> F:
    """Give a command the option ``--engine``; the request is checked elsewhere."""
    return click.option(
        "--engine",
        default="auto",
        show_default=True,
        metavar="NAME",
        help="Simulator: lockstep, literal, alias, population, torch (lockstep on a GPU), or auto: lockstep "
        "if it supports the algorithm, else literal.",
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
        help="Also draw the result: FILE.png, FILE.svg or FILE.pdf.",
    )(command)


#: What each key of a pair means; `GRAMMAR` adds what to write.
PAIR_KEYS = {
    "by": "whether the tokens are chosen for each context or once for all",
    "concentration": "concentration of the Dirichlet distribution, with family=dirichlet",
    "contexts": "number of contexts; the context is what the next token depends on",
    "density": "share of positive probabilities, with family=sparse",
    "draft_order": "number of earlier tokens that the draft model looks at",
    "family": "how the random probabilities are drawn; see specsim.random_pair",
    "file": "path of the file",
    "horizon": "number of tokens to emit",
    "initial": "the first context",
    "level": "what a token is",
    "noise": "random error of the choice of tokens",
    "of": "the pair to change; it takes the rest of the text",
    "reading": "rows: for the draft length of the trace; path: one text; markov: chain of the last token",
    "seed": "seed of the random numbers",
    "size": "number of tokens that the draft may propose",
    "smoothing": "added to every count, so that no probability is 0",
    "stationary": "use the same probabilities at every position; needed for very long runs",
    "target_order": "number of earlier tokens that the target model looks at",
    "tokens": "size of the vocabulary",
    "tv": "total variation distance of draft and target, with family=perturbed or near-equal",
    "factor": "number that multiplies the probabilities of the draft's likeliest tokens",
    "target_share": "share of the target in each draft row, from 0 to 1",
    "vocabulary": "most tokens; all others become one token",
}

_STRUCTURE = {
    "draft_length": "drafted tokens per target call, or none (default): draft up to the horizon",
    "drafts": "number of drafted paths",
    "tree": "children of each node by depth, such as 2-2-1; or the parent of each drafted token, such as "
    "0.0.1; or best:SIZE:A1:A2:..., the best tree of SIZE tokens if the i-th child of a node is accepted "
    "with probability Ai (Sequoia)",
    "bonus": "yes (default) or no: whether a fully accepted draft is followed by a token of the target",
    "drawn": "how the children of a node are drawn: independent, distinct (no token twice), or greedy (the "
    "most probable tokens)",
}


def _wrapped(text: str, indent: int, hanging: int = 4) -> list[str]:
    start = " " * indent
    return textwrap.wrap(
        text,
        76,
        initial_indent=start,
        subsequent_indent=start + " " * hanging,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _head(keyword: str, entry: Entry) -> str:
    required = ",".join(f"{key}=..." for key in entry.required)
    short = f"{keyword}:N, short for " if entry.first else ""
    return f"{short}{keyword}{':' if required else ''}{required}"


def _pairs() -> list[str]:
    lines = []
    for keyword, entry in PAIRS.items():
        lines += [f"  {_head(keyword, entry)}", *_wrapped(entry.help, 6, 0)]
        for key, kind in entry.keys.items():
            must = "" if key in entry.required else " (optional)"
            what = "" if kind.description == "text" else f" ({kind.description})"
            lines += _wrapped(f"{key}{must}: {PAIR_KEYS.get(key, '')}{what}", 8)
    return lines


def _algorithms() -> list[str]:
    lines, short = [], []
    rules = catalogue()
    for keyword, entry in ALGORITHMS.items():
        own = rules[keyword].parameters if keyword in rules else {}
        if keyword in rules and not own:
            short.append(keyword)
        elif keyword not in aliases() and all(parameter.kind != "table" for parameter in own.values()):
            lines += [f"  {_head(keyword, entry)}", *_wrapped(entry.help, 6, 0)]
            for key, parameter in own.items():
                must = "" if key in entry.required else " (optional)"
                choices = f" One of {', '.join(parameter.choices)}." if parameter.choices else ""
                lines += _wrapped(f"{key}{must}: {parameter.meaning}{choices}", 8)
    return [
        *lines,
        "  NAME, any other rule of 'specsim rules', such as k-seq:drafts=3,draft_length=2",
        *_wrapped(", ".join(short), 8, 0),
        "  FILE.py:RULE, a rule of your own, such as my_rules.py:damped:draft_length=4",
        "      Made with @specsim.rule; the file is run.",
    ]


#: The epilog of commands with PAIR and ALGORITHM: what each can be.
GRAMMAR = "\n".join(
    [
        "\b",
        "PAIR is a pair of models: a netCDF file or one of",
        *_pairs(),
        "",
        "\b",
        "ALGORITHM is one of",
        *_algorithms(),
        "",
        "\b",
        "Keys of algorithms, where the rule supports them ('specsim rules NAME' says):",
        *(line for key, text in _STRUCTURE.items() for line in _wrapped(f"{key}: {text}", 2)),
    ]
)
