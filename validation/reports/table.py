"""The report for people: a table, the errata with their counterexamples, failures in full."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from specsim.validation.claims_model import Claim, Verdict
from specsim.validation.reports.words import (
    SIGNS,
    caught_text,
    compact,
    conclusion,
    distinct_runs,
    failures,
    least_p_value,
    p_value_text,
    preface,
    summary_lines,
    verdict_text,
)
from specsim.validation.running.kill_matrix import KillMatrix
from specsim.validation.running.outcomes import ClaimOutcome, RunReport, Status

if TYPE_CHECKING:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

_COLOURS = {
    Status.AGREES: "green",
    Status.DISAGREES: "bold red",
    Status.UNDECIDED: "yellow",
    Status.ERROR: "bold magenta",
    Status.NOT_RUN: "dim",
}

#: What the columns of `claims_table` mean.
LEGEND = (
    "exact: number of comparisons of rational numbers. simulated: number of comparisons of simulation with "
    "theory. runs: simulated runs. chance: upper bound of the probability that correct code differs this "
    "much from theory. finds errors of: the smallest error that is found with probability 0.999, as total "
    "variation distance (TV), in a probability (p), or in a mean per run (mean)."
)
#: Counterexamples of one claim that the table prints; reports to files hold them all.
MOST_COUNTEREXAMPLES = 4


def report_renderables(report: RunReport, width: int = 110, *, errata: bool = False) -> list[Any]:
    """Return what to print with rich, in order, in lines of at most `width` columns.

    errata: whether all counterexamples are printed in full. Defaults to False: one line for each statement.
    """
    parts: list[Any] = [_line(line) for line in preface(report)]
    parts += [_line(""), claims_table(report, width), _line(LEGEND, "dim")]
    parts += _counterexamples(report) if errata else _errata(report, width)
    parts += _failures(report)
    parts += [_line(f"note: {note}", "yellow") for note in report.notes]
    parts += [_line(""), *[_line(line) for line in summary_lines(report)]]
    words = conclusion(report)
    colour = {"agrees": "bold green", "undecided": "bold yellow", "interrupted": "bold yellow"}
    parts.append(_line(f"Result: {words}.", colour.get(words, "bold red")))
    return parts


def claims_table(report: RunReport, width: int = 110) -> Table:
    """Return the table: one row for each claim, fewer columns where there is little room, more where much."""
    table = _table(
        f"specsim validate · effort {report.effort} · seed {report.seed} · "
        f"false-alarm budget {report.alpha:g}"
        + ("" if report.witnesses == "as built" else f" · mutant {report.witnesses}")
    )
    narrow, wide = width < 104, width >= 150
    table.add_column("")
    table.add_column("claim", no_wrap=not narrow, overflow="fold")
    if wide:
        table.add_column("title", max_width=44)
    table.add_column("verdict", min_width=10 if narrow else 16)
    table.add_column("exact", justify="right")
    table.add_column("simulated", justify="right")
    if not narrow:
        table.add_column("runs", justify="right")
    table.add_column(" chance", justify="right")
    if not narrow:
        table.add_column(" finds errors of", min_width=12)
    group = ""
    for claim in report.claims:
        prefix, _, name = claim.claim.id.partition(".")
        if name and prefix != group:
            table.add_row("", _text(f"{prefix}.", "bold"))
        group = prefix
        colour = _COLOURS[claim.status]
        agrees = claim.status is Status.AGREES
        row = [
            _text(SIGNS[claim.status], colour),
            _text(f"  {name}" if name else claim.claim.id),
            _text(claim.claim.title, "dim") if wide else None,
            _text(verdict_text(claim), _verdict_colour(claim) if agrees else colour),
            _count(len(claim.comparisons)),
            _count(len(claim.assertions)),
            None if narrow else _count(distinct_runs(claim)),
            _text(p_value_text(least_p_value(claim.assertions))),
            None if narrow else _text(f" {caught_text(claim.assertions)}", "dim"),
        ]
        table.add_row(*(cell for cell in row if cell is not None))
    return table


def list_table(claims: Iterable[Claim]) -> Table:
    """Return the table of ``validate --list``."""
    table = _table(None)
    table.add_column("claim", no_wrap=True)
    for heading in ("title", "expected", "source"):
        table.add_column(heading)
    for claim in claims:
        table.add_row(
            _text(claim.id),
            _text(claim.title),
            _text(claim.verdict.value),
            _text(claim.source, "dim"),
        )
    return table


def kill_table(matrix: KillMatrix) -> list[Any]:
    """Return what to print of the mutants: one row for each mutant and claim."""
    table = _table("Mutants: deliberately wrong code, and the claims that must find the error")
    for heading in ("", "mutant", "claim", "evidence"):
        table.add_column(heading, overflow="fold")
    for kill in matrix.kills:
        table.add_row(
            _text("✓ found" if kill.killed else "SURVIVES", "green" if kill.killed else "bold red"),
            _text(kill.mutant),
            _text(kill.claim),
            _text(kill.evidence, "dim"),
        )
    parts: list[Any] = [table]
    if matrix.unassigned:
        parts.append(_line(f"No claim must find: {', '.join(matrix.unassigned)}.", "bold red"))
    rejected = len({kill.mutant for kill in matrix.kills} - {kill.mutant for kill in matrix.survivors})
    parts.append(
        _line(
            f"{rejected} of {len(matrix.mutants)} mutants are found by every claim that must find them.",
            "bold green" if matrix.complete else "bold red",
        )
    )
    return parts


def _errata(report: RunReport, width: int) -> list[Any]:
    """Return one line for each statement that needs a condition or a correction."""
    found = [claim for claim in report.claims if claim.counterexamples]
    if not found:
        return []
    parts: list[Any] = [_line("\nConditions and corrections (in full: --errata)", "bold underline")]
    for claim in found:
        first = claim.counterexamples[0]
        name = f"{claim.claim.id}  "
        if claim.claim.condition:
            words = f"only if: {claim.claim.condition}"
        elif first.expected or first.observed:
            words = f"printed {first.expected}, computed {first.observed} ({first.label})"
        else:
            words = claim.claim.title
        room = max(20, width - len(name) - 3)
        line = _line(f"  {name}", _verdict_colour(claim))
        line.append(words if len(words) <= room else f"{words[: room - 1].rstrip()}…")
        parts.append(line)
    return parts


def _counterexamples(report: RunReport) -> list[Any]:
    parts: list[Any] = []
    for claim in report.claims:
        if not claim.counterexamples:
            continue
        heading = _line("")
        heading.append(f"{claim.claim.id}", "bold")
        heading.append(f"  {claim.claim.title}: {verdict_text(claim)}", _verdict_colour(claim))
        parts += [_line(""), heading, _indented(claim.claim.statement, "dim")]
        if claim.claim.condition:
            parts.append(_indented(f"Condition: {claim.claim.condition}"))
        shown = claim.counterexamples[:MOST_COUNTEREXAMPLES]
        for item in shown:
            parts.append(_indented(f"Counterexample, {item.label}: {item.counterexample}"))
            if item.expected or item.observed:
                parts.append(_indented(f"printed: {item.expected}   computed: {item.observed}", "cyan", 4))
        if rest := len(claim.counterexamples) - len(shown):
            parts.append(_indented(f"and {rest} more (see --json-file or --html)", "dim"))
    if parts:
        parts.insert(0, _line("\nConditions and corrections, with exact counterexamples", "bold underline"))
    return parts


def _failures(report: RunReport) -> list[Any]:
    parts: list[Any] = []
    for claim in report.claims:
        for heading, lines in failures(claim):
            title = _line("")
            title.append(claim.claim.id, "bold")
            title.append(f"  {heading}", _COLOURS[claim.status])
            parts += [
                _line(""),
                title,
                *[_indented(line.strip(), by=4 if line.startswith(" ") else 2) for line in lines],
            ]
    if parts:
        parts.insert(0, _line("\nNot confirmed", "bold underline red"))
    return parts


def _table(title: str | None) -> Table:
    from rich import box
    from rich.table import Table

    return Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0))


def _verdict_colour(claim: ClaimOutcome) -> str:
    return {Verdict.HOLDS: "green", Verdict.CONDITION: "yellow", Verdict.FAILS: "cyan"}[claim.claim.verdict]


def _text(words: str, style: str = "") -> Text:
    from rich.text import Text

    # Control characters would act on the terminal.
    return Text("".join(sign if sign.isprintable() or sign == "\n" else "?" for sign in words), style=style)


def _line(words: str, style: str = "") -> Text:
    return _text(words, style)


def _indented(words: str, style: str = "", by: int = 2) -> Padding:
    from rich.padding import Padding

    return Padding(_text(words, style), (0, 0, 0, by), expand=False)


def _count(value: int) -> Text:
    return _text(compact(value) if value else "")
