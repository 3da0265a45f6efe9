"""``specsim figures``: the paper's figures and tables, redrawn and compared with the published ones."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from specsim.cli import completing
from specsim.cli.output import JSON_HELP, show, show_json

if TYPE_CHECKING:
    from specsim.paper_figures.drawing import Drawn

_HELP = """Draw the figures and tables of arXiv 2411.00841 again, all or those named.

Each is written to the folder as PNG, SVG, netCDF and CSV. A comparison with the paper is printed and written
as JSON and Markdown. The exit code is 1 if a required comparison fails.

\b
Examples:
  specsim figures
  specsim figures figure-2b figure-2c --out figures --effort standard
  specsim figures --list
"""


@click.command("figures", help=_HELP)
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=completing.figures)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("figures"),
    show_default=True,
    metavar="DIR",
    help="Folder for the files; it is created.",
)
@click.option(
    "--effort",
    type=click.Choice(["quick", "standard", "deep"]),
    default="quick",
    show_default=True,
    help="How much is simulated.",
)
@click.option("--seed", type=int, metavar="N", help="Seed, 0 to 2^64 - 1. Default: always the same.")
@click.option("--threads", type=int, metavar="N", help="Number of threads. Default: one per core.")
@click.option("--list", "listing", is_flag=True, help="Print the names and stop.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(
    names: tuple[str, ...],
    out: Path,
    effort: str,
    seed: int | None,
    threads: int | None,
    listing: bool,
    as_json: bool,
) -> int:
    """Draw, write and compare."""
    from specsim.paper_figures import registry

    chosen = tuple(dict.fromkeys(registry.check_name(name) for name in names)) or registry.names()
    if listing:
        _list(chosen, as_json)
        return 0
    from specsim.paper_figures.drawing import DEFAULT_SEED, check_folder, draw, report, write_summary

    # Found out before the work, not after it.
    folder = check_folder(out)
    drawings: list[Drawn] = []
    with _progress(len(chosen)) as (begin, tell):
        for name in chosen:
            begin(name)
            drawings.append(
                draw(
                    name,
                    effort=effort,
                    seed=DEFAULT_SEED if seed is None else seed,
                    threads=threads,
                    out=folder,
                    progress=tell,
                )
            )
    write_summary(drawings, folder)
    passed = all(drawn.passed for drawn in drawings)
    if as_json:
        show_json({"passed": passed, "out": str(folder), "figures": [report(drawn) for drawn in drawings]})
    else:
        _print(drawings, folder)
    return 0 if passed else 1


def _list(names: tuple[str, ...], as_json: bool) -> None:
    from specsim.paper_figures import registry

    if as_json:
        show_json({"figures": [{"name": name, "title": registry.title(name)} for name in names]})
        return
    width = max(len(name) for name in names)
    for name in names:
        click.echo(f"{name:{width}}  {registry.title(name)}")


@contextmanager
def _progress(total: int) -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """Give two functions that print progress on standard error: which figure starts, and its step."""
    done = 0

    def begin(name: str) -> None:
        nonlocal done
        done += 1
        if not terminal:
            click.echo(f"[{done}/{total}] {name}", err=True)

    if not (terminal := sys.stderr.isatty()):
        yield begin, lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status("drawing") as status:
        yield begin, lambda text: status.update(f"[{done}/{total}] {text}")


def _print(drawings: list[Drawn], folder: Path) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    from specsim.paper_figures.tabulate import cells, mark

    tables: list[object] = ["[bold]Our results and the paper[/bold]\n"]
    for drawn in drawings:
        table = Table(title=drawn.title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
        table.add_column("quantity")
        table.add_column("ours", justify="right", no_wrap=True)
        table.add_column("reference", justify="right", no_wrap=True)
        table.add_column("from")
        table.add_column("difference", justify="right", no_wrap=True)
        table.add_column("verdict")
        for row in drawn.comparison:
            verdict = {"ok": "[green]ok[/green] ", "FAIL": "[bold red]FAIL[/bold red] ", "": ""}[mark(row)]
            texts = [escape(text) for text in cells(row)]
            table.add_row(*texts[:-1], verdict + texts[-1])
        tables.append(table)
    required = [row for drawn in drawings for row in drawn.comparison if row.required]
    failed = sum(not row.passed for row in required)
    verdict = "all do" if not failed else f"{failed} FAIL"
    tables.append(
        f"{len(drawings)} drawn in {escape(str(folder))}; of {len(required)} required comparisons, {verdict}"
    )
    show(*tables)
