"""``specsim validate``: verify the published statements."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specsim.cli import completing
from specsim.cli.output import JSON_HELP, columns, show, show_json
from specsim.cli.scaling import store_notes
from specsim.errors import InputError
from specsim.support.files import replacing, write_text

if TYPE_CHECKING:
    from specsim.validation.claims_model import Claim
    from specsim.validation.reports.html import ReportFigure
    from specsim.validation.running.events import Event
    from specsim.validation.running.kill_matrix import KillMatrix
    from specsim.validation.running.outcomes import RunReport

_HELP = """Verify the published statements of arXiv 2411.00841: every claim by exact rationals on small pairs,
by simulation against theory at size, with stated error rates.

CLAIM is the id of a statement or a pattern such as 'yin2024.theorem-*'; --list prints the ids. Default: all.

\b
Efforts:
  quick      about two minutes on two cores
  standard   several times longer
  deep       hours; with --resume it can be interrupted and continued

\b
Examples:
  specsim validate --effort standard
  specsim validate 'yin2024.theorem-3*' --json-file theorem-3.json
  specsim validate --html report.html --mutants
  specsim validate --effort deep --resume deep-run

\b
Reading the table:
  verdict          what was found; a statement that fails as printed has a counterexample
  exact            number of comparisons of rational numbers
  simulated        number of comparisons of simulation with theory, planned before the simulation
  runs             simulated runs for these comparisons
  chance           upper bound of the probability that correct code differs this much from theory
  finds errors of  the smallest error that the comparisons find with probability 0.999: total variation
                   distance (TV), error of a probability (p), error of a mean per run (mean; if the
                   variance is at most twice the expected one)

Exit codes: 0 agrees, 1 disagrees, 2 wrong input, 3 could not decide, 130 interrupted.
"""


@click.command(name="validate", help=_HELP)
@click.argument("claims", metavar="[CLAIM]...", nargs=-1, shell_complete=completing.claims)
@click.option(
    "--effort",
    type=click.Choice(["quick", "standard", "deep"]),
    default="quick",
    show_default=True,
    help="How much is computed and simulated.",
)
@click.option("--list", "only_list", is_flag=True, help="List the statements and stop.")
@click.option("--seed", type=int, metavar="N", help="Seed. Default: always the same.")
@click.option(
    "--threads",
    type=int,
    metavar="N",
    help="Number of threads; does not change results. Default: one per core.",
)
@click.option(
    "--alpha",
    type=float,
    default=1e-6,
    show_default=True,
    help="Probability of a false alarm in the whole run.",
)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@click.option("--json-file", "json_path", metavar="FILE", help="Also write the report as JSON.")
@click.option("--errata", is_flag=True, help="Print all conditions and corrections in full.")
@click.option("--junit", "junit_path", metavar="FILE", help="Write the report as JUnit XML.")
@click.option("--html", "html_path", metavar="FILE", help="Write the report as a web page.")
@click.option("--resume", "resume_dir", metavar="DIR", help="Keep finished work in DIR and continue from it.")
@click.option("--update", is_flag=True, help="Store the results of regression checks as the new reference.")
@click.option("--mutants", is_flag=True, help="Also run the checks on deliberately wrong code.")
def command(
    claims: tuple[str, ...],
    effort: str,
    only_list: bool,
    seed: int | None,
    threads: int | None,
    alpha: float,
    as_json: bool,
    json_path: str | None,
    errata: bool,
    junit_path: str | None,
    html_path: str | None,
    resume_dir: str | None,
    update: bool,
    mutants: bool,
) -> int:
    """Run the command; see its help."""
    from specsim.validation.registry import select_claims

    chosen = select_claims(claims)
    if only_list:
        return _list(chosen, as_json, json_path)
    check_outputs([json_path, junit_path, html_path])
    from specsim.validation.running.runner import DEFAULT_SEED, validate

    with store_notes(), _display(chosen) as shown:
        report = validate(
            chosen,
            effort=effort,
            seed=DEFAULT_SEED if seed is None else seed,
            alpha=alpha,
            threads=threads,
            resume_dir=resume_dir,
            update=update,
            progress=shown.event,
            second_process=True,
        )
        matrix: KillMatrix | None = None
        figures: list[ReportFigure] = []
        figure_notes: list[str] = []
        interrupted = report.interrupted
        if not interrupted:
            try:
                if mutants:
                    matrix = _mutants(
                        chosen, everything=not claims, report=report, threads=threads, shown=shown
                    )
                if html_path:
                    figures, figure_notes = _figures(effort, threads, shown)
            except KeyboardInterrupt:
                interrupted = True
    _write(report, matrix, figures, figure_notes, json_path, junit_path, html_path)
    if as_json:
        from specsim.validation.reports.json import report_json

        click.echo(report_json(report, matrix), nl=False)
    else:
        from specsim.validation.reports.table import kill_table, report_renderables

        parts = report_renderables(report, columns(), errata=errata)
        if matrix is not None:
            parts[-1:-1] = kill_table(matrix)
        show(*parts)
    if interrupted:
        return 130
    if matrix is not None and not matrix.complete:
        return max(report.exit_code, 1) if report.exit_code != 3 else 1
    return report.exit_code


def check_outputs(paths: list[str | None]) -> None:
    """Raise `InputError` for a file that cannot be written, before any work is done."""
    named = [path for path in paths if path]
    for path in named:
        if named.count(path) > 1:
            raise InputError(f"{path} is named for two reports; give each its own file")
        target = Path(path)
        existed = target.parent.exists()
        if target.is_dir():
            raise InputError(f"cannot write {target}: it is a folder; give a file name")
        trial = target.with_name(f".{target.name}.probe")
        try:
            with replacing(trial) as probe:
                probe.write_bytes(b"")
            trial.unlink(missing_ok=True)
        except InputError as error:
            raise InputError(str(error).replace(str(trial), str(target))) from None
        if not existed and not any(target.parent.iterdir()):
            # Left as it was until there is something to put in it.
            target.parent.rmdir()


def _list(claims: tuple[Claim, ...], as_json: bool, json_path: str | None) -> int:
    if as_json or json_path:
        document = {
            "claims": [
                {
                    "id": claim.id,
                    "title": claim.title,
                    "statement": claim.statement,
                    "source": claim.source,
                    "expected": claim.verdict.value,
                    "condition": claim.condition,
                    "checks": [{"name": check.name, "kind": check.kind} for check in claim.checks],
                    "mutants": list(claim.mutants),
                }
                for claim in claims
            ]
        }
        if json_path:
            write_text(json_path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        if as_json:
            show_json(document)
        return 0
    from specsim.validation.reports.table import list_table

    show(list_table(claims))
    return 0


def _mutants(
    claims: tuple[Claim, ...], *, everything: bool, report: RunReport, threads: int | None, shown: _Display
) -> KillMatrix:
    from specsim.validation.mutants import all_mutants
    from specsim.validation.running.cut_down import SMALL_EFFORT, cut_down
    from specsim.validation.running.kill_matrix import kill_matrix

    named = {name for claim in claims for name in claim.mutants}
    ids = {claim.id for claim in claims}
    chosen = [
        mutant for mutant in all_mutants() if everything or mutant.name in named or ids & set(mutant.kills)
    ]
    return kill_matrix(
        [cut_down(claim) for claim in claims],
        chosen,
        effort=SMALL_EFFORT,
        seed=report.seed,
        alpha=report.alpha,
        threads=threads,
        progress=lambda name, done, total: shown.say(f"mutant {done + 1} of {total}: {name}"),
    )


def _figures(effort: str, threads: int | None, shown: _Display) -> tuple[list[ReportFigure], list[str]]:
    """Draw the figures of the page; one that fails is omitted, and a note says so."""
    from specsim.paper_figures import draw, names
    from specsim.validation.reports.html import ReportFigure
    from specsim.validation.reports.words import number

    figures, notes = [], []
    for name in names():
        shown.say(f"figure {name}")
        try:
            drawn = draw(name, effort=effort, threads=threads)
        except Exception as error:
            notes.append(f"{name} could not be drawn and is missing ({type(error).__name__}: {error}).")
            continue
        rows = tuple(
            (row.quantity, number(row.reference, 6), number(row.ours, 6), row.verdict)
            for row in drawn.comparison
        )
        figures.append(
            ReportFigure(
                name=name,
                title=drawn.title,
                caption=drawn.caption,
                svg=drawn.svg,
                rows=rows,
                passed=drawn.passed,
            )
        )
    return figures, notes


def _write(
    report: RunReport,
    matrix: KillMatrix | None,
    figures: list[ReportFigure],
    figure_notes: list[str],
    json_path: str | None,
    junit_path: str | None,
    html_path: str | None,
) -> None:
    if json_path:
        from specsim.validation.reports.json import report_json

        write_text(json_path, report_json(report, matrix))
    if junit_path:
        from specsim.validation.reports.junit import report_junit

        write_text(junit_path, report_junit(report))
    if html_path:
        from specsim.validation.reports.html import report_html

        write_text(html_path, report_html(report, matrix=matrix, figures=figures, figure_notes=figure_notes))


#: Seconds without a line where there is no terminal.
_SILENCE = 10.0


class _Display:
    """Progress on standard error: bars on a terminal, a line now and then elsewhere."""

    def __init__(self, bars: Any, claims: tuple[Claim, ...]) -> None:
        self._bars = bars
        self._left = {claim.id: len(claim.checks) for claim in claims}
        self._claims = self._positions = self._words = None
        self._told = time.monotonic()
        self._all_positions = 1
        if bars is not None:
            self._claims = bars.add_task("claims", total=len(claims))
            self._positions = bars.add_task("simulation: planning", total=None)
            self._words = bars.add_task("", total=None)

    def event(self, event: Event) -> None:
        """Show one event of the run."""
        from specsim.validation.running import events

        match event:
            case events.Planning():
                self._update(self._positions, completed=event.done, total=event.total)
                self._now_and_then(f"planning: {event.done} of {event.total} steps done")
            case events.Planned():
                if event.simulations:
                    self._line(
                        f"planned: {event.simulations} simulations, and {event.assertions:,} comparisons of "
                        "them with theory"
                    )
                self._all_positions = max(1, event.positions)
                self._update(
                    self._positions, description="simulation", completed=0, total=self._all_positions
                )
            case events.Simulated():
                self._update(self._positions, completed=event.positions)
                self._update(self._words, description=f"simulating {event.label}")
                share = event.positions / self._all_positions
                self._now_and_then(f"simulations: {share:.0%} of their tokens done, now {event.label}")
            case events.Comparing():
                words = f"{event.claim}: {event.check}, {event.comparisons} comparisons"
                self._update(self._words, description=words)
                self._now_and_then(words)
            case events.CheckFinished():
                self._left[event.claim] -= 1
                done = sum(left <= 0 for left in self._left.values())
                self._update(self._claims, completed=done)
                self._now_and_then(f"{done} of {len(self._left)} claims done")
                if event.status != "agrees":
                    self._line(f"{event.claim}: {event.check}: {event.status}")
            case events.Note():
                self._line(f"note: {event.text}")

    def say(self, words: str) -> None:
        """Show what is being done after the checks."""
        self._update(self._words, description=words)
        if self._bars is None:
            self._line(words)

    def _update(self, task: Any, **changes: Any) -> None:
        if self._bars is not None:
            self._bars.update(task, **changes)

    def _now_and_then(self, words: str) -> None:
        if self._bars is None and time.monotonic() - self._told > _SILENCE:
            self._line(words)

    def _line(self, words: str) -> None:
        if self._bars is not None:
            self._bars.console.print(words, style="dim", markup=False, highlight=False)
        else:
            self._told = time.monotonic()
            print(f"specsim: {words}", file=sys.stderr, flush=True)


@contextmanager
def _display(claims: tuple[Claim, ...]) -> Iterator[_Display]:
    if not sys.stderr.isatty():
        yield _Display(None, claims)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    bars = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bars:
        yield _Display(bars, claims)
