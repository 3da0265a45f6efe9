"""The kill matrix as a page in Markdown, with a column for each effort."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.kill_matrix import ControlOutcome, MutantOutcome

#: Outcomes of mutants and of controls.
Matrix = tuple[Sequence[MutantOutcome], Sequence[ControlOutcome]]


def page(matrices: Mapping[str, Matrix], *, alpha: float, seed: int, every_check: bool = False) -> str:
    """Return the page.

    matrices: by effort, in the order of the columns.
    alpha, seed, every_check: the settings of all of them.
    """
    flags = " --every-check" if every_check else ""
    command = f"specsim conform --mutants --effort {'|'.join(matrices)}{flags} --seed {seed}"
    lines = [
        "# Wrong samplers that are rejected, right ones that pass",
        "",
        f"`{command} --resume DIR --markdown FILE` wrote this page. A correct sampler is rejected with a",
        f"probability of at most {alpha:g}. For a wrong sampler, the column of an effort shows the checks",
        "that rejected it, in brackets the number of observations that they needed (exact checks need none),",
        "and the CPU seconds of the checks that had to reject it. For a right sampler it shows the total",
        "variation distance that was certified, and the CPU seconds of all checks. *Seen in*: a public",
        'report; "easily made" if none is known. [conformance.md](conformance.md) explains the checks.',
        "",
        *_summary(matrices),
        "",
        "## Wrong samplers",
        *_table(
            ("wrong sampler", "what is wrong", "class", *matrices, "seen in"),
            _wrong_lines([killed for killed, _ in matrices.values()]),
        ),
        "",
        "## Right samplers",
        *_table(
            ("right sampler", "what is unusual", "protocol", "verdict", *matrices),
            _right_lines([living for _, living in matrices.values()]),
        ),
    ]
    return "\n".join(lines) + "\n"


def kill_text(check: Any) -> str:
    """Return the name of a check and the observations that it needed."""
    return f"{check.name} ({check.samples:,})" if check.samples else str(check.name)


def _summary(matrices: Mapping[str, Matrix]) -> list[str]:
    lines = []
    for effort, (killed, living) in matrices.items():
        cells = [effort]
        for good, items in (
            (sum(item.killed for item in killed), killed),
            (sum(item.lives for item in living), living),
        ):
            seconds = math.fsum(item.seconds for item in items)
            cells += [f"{good} of {len(items)}", f"{seconds:.0f}"] if items else ["not run", ""]
        lines.append(tuple(cells))
    head = ("effort", "wrong samplers rejected", "CPU s", "right samplers passed", "CPU s")
    return _table(head, lines)


def _wrong_lines(columns: list[Sequence[MutantOutcome]]) -> list[tuple[str, ...]]:
    by_name = [{item.mutant.name: item for item in column} for column in columns]
    lines = []
    for name, mutant in {item.mutant.name: item.mutant for column in columns for item in column}.items():
        cells = [_kills(outcomes.get(name)) for outcomes in by_name]
        lines.append((name, mutant.description, mutant.bug_class, *cells, mutant.cite))
    return lines


def _kills(outcome: MutantOutcome | None) -> str:
    if outcome is None:
        return "not run"
    kills = ", ".join(kill_text(check) for check in outcome.killers) or "**nothing**"
    missed = f" (**missed by {', '.join(outcome.missed)}**)" if outcome.missed else ""
    return f"{kills}{missed}, {outcome.seconds:.1f} s"


def _right_lines(columns: list[Sequence[ControlOutcome]]) -> list[tuple[str, ...]]:
    by_name = [{item.control.name: item for item in column} for column in columns]
    lines = []
    for name, control in {item.control.name: item.control for column in columns for item in column}.items():
        found = [outcomes[name] for outcomes in by_name if name in outcomes]
        words = (item.verdict.value if item.lives else f"**{item.verdict.value}**" for item in found)
        cells = [_certified(outcomes.get(name)) for outcomes in by_name]
        lines.append(
            (name, control.description, control.subject.protocol, ", ".join(dict.fromkeys(words)), *cells)
        )
    return lines


def _certified(outcome: ControlOutcome | None) -> str:
    if outcome is None:
        return "not run"
    bound = "" if math.isnan(outcome.certified) else f"{outcome.certified:.3f}, "
    return f"{bound}{outcome.seconds:.1f} s"


def _table(head: tuple[str, ...], lines: list[tuple[str, ...]]) -> list[str]:
    rows = [head, ("---",) * len(head), *lines]
    return ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows]
