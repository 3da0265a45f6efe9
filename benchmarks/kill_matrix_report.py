"""``specsim conform --mutants``: the kill matrix."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from specsim.cli.output import give_json, output_file, show
from specsim.support.files import check_writable_folder


def run_mutants(names: str | None, options: dict[str, Any]) -> int:
    """Judge every mutant and control, or those named (separated by commas); print the matrix.

    Returns 0 when every mutant is rejected and every control passes, 3 when the only failure is that time ran
    out, 1 otherwise.
    """
    from benchmarks.kill_matrix import kept_matrices, kill_matrix
    from benchmarks.kill_matrix_page import page as page_of

    mutants, controls = chosen(names)
    with (
        output_file(options["markdown"]) as page,
        output_file(options["json_path"]) as data,
        progress_bar() as progress,
    ):
        killed, living = kill_matrix(
            mutants,
            controls,
            effort=options["effort"],
            alpha=options["alpha"],
            seed=options["seed"],
            budget=options["budget"],
            every_check=options["every_check"],
            progress=progress,
            keep=_kept_in(options["resume_dir"]),
        )
        if page is not None:
            settings = {key: options[key] for key in ("alpha", "seed", "every_check")}
            kept = kept_matrices(_kept_in(options["resume_dir"]), mutants, controls, **settings)
            matrices = kept or {options["effort"]: (killed, living)}
            page.write_text(page_of(matrices, **settings), encoding="utf-8")
        give_json(_document(killed, living), data, shown=options["as_json"])
    if not options["as_json"]:
        _show(killed, living)
    bad = [item for item in killed if not item.killed]
    wrong = [item for item in living if not item.lives]
    if not bad and not wrong:
        return 0
    if all(item.verdict.value == "undecided" for item in wrong) and all(_only_late(item) for item in bad):
        return 3
    return 1


def _kept_in(folder: str | None) -> Path | None:
    if folder is None:
        return None
    check_writable_folder(folder)
    return Path(folder) / "kill-matrix.jsonl"


def _only_late(outcome: Any) -> bool:
    return all(check.status.value in ("failed", "error", "undecided") for check in outcome.checks)


def chosen(names: str | None) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the mutants and controls with these names (separated by commas); all if None."""
    from benchmarks.zoo.model import all_controls, all_mutants
    from specsim.errors import InputError

    if not names:
        return all_mutants(), _available(all_controls())
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = {item.name for item in all_mutants()} | {item.name for item in all_controls()}
    for name in wanted:
        if name not in known:
            raise InputError(f"mutant {name!r} is unknown; see 'specsim conform --mutants' for the names")
    mutants = tuple(item for item in all_mutants() if item.name in wanted)
    return mutants, tuple(item for item in all_controls() if item.name in wanted)


def _available(controls: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the controls whose libraries are installed; name the others on standard error."""
    from importlib.util import find_spec

    if find_spec("torch"):
        return controls
    for control in controls:
        if control.subject.framework == "torch":
            click.echo(f"not run: {control.name} needs torch", err=True)
    return tuple(control for control in controls if control.subject.framework != "torch")


def _show(killed: list[Any], living: list[Any]) -> None:
    from rich.table import Table

    from benchmarks.kill_matrix_page import kill_text

    table = Table(
        title="Wrong samplers (mutants), and the checks (observations) that rejected them",
        title_justify="left",
    )
    for column in ("", "mutant", "class", "rejected by", "seen in"):
        table.add_column(column, overflow="fold")
    for item in killed:
        kills = ", ".join(kill_text(check) for check in item.killers) or "nothing"
        if item.missed:
            kills += f" (missed by {', '.join(item.missed)})"
        sign = "✓" if item.killed else "✗"
        table.add_row(sign, item.mutant.name, item.mutant.bug_class, kills, item.mutant.cite)
    right = Table(title="Correct but unusual samplers (controls)", title_justify="left")
    for column in ("", "control", "protocol", "verdict", "certified TV"):
        right.add_column(column, overflow="fold")
    for item in living:
        bound = "" if item.certified != item.certified else f"{item.certified:.3f}"
        right.add_row(
            "✓" if item.lives else "✗",
            item.control.name,
            item.control.subject.protocol,
            item.verdict.value,
            bound,
        )
    show(table, right)
    dead = sum(item.killed for item in killed)
    alive = sum(item.lives for item in living)
    click.echo(f"{dead} of {len(killed)} mutants rejected, {alive} of {len(living)} controls passed.")


def _document(killed: list[Any], living: list[Any]) -> dict[str, Any]:
    return {
        "mutants": [
            {
                "name": item.mutant.name,
                "description": item.mutant.description,
                "class": item.mutant.bug_class,
                "cite": item.mutant.cite,
                "killed": item.killed,
                "missed": item.missed,
                "seconds": item.seconds,
                "checks": [
                    {
                        "name": check.name,
                        "status": check.status.value,
                        "samples": check.samples,
                        "log10_e": check.log10_e,
                        "seconds": check.seconds,
                    }
                    for check in item.checks
                ],
            }
            for item in killed
        ],
        "controls": [
            {
                "name": item.control.name,
                "description": item.control.description,
                "lives": item.lives,
                "verdict": item.verdict.value,
                "certified_total_variation": item.certified,
                "seconds": item.seconds,
                "failed": [check.name for check in item.checks if check.status.value in ("failed", "error")],
            }
            for item in living
        ],
    }


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar on standard error; where that is no terminal, print a line every ten seconds."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    told = time.monotonic()
    with bar:
        task = bar.add_task("", total=None)

        def update(name: str, done: int, total: int) -> None:
            nonlocal told
            bar.update(task, description=name, completed=done, total=total)
            if bar.disable and time.monotonic() - told > 10:
                told = time.monotonic()
                click.echo(f"specsim: {done} of {total} samplers judged, now {name}", err=True)

        yield update
