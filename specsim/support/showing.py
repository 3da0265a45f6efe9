"""How results show themselves: tables for terminals, aligned text, HTML for notebooks."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.table import Table

#: Columns of a printed result where nobody knows those of the terminal.
WIDTH = 110
#: Most rows that a result prints of itself; `to_dataframe` has them all.
MOST_ROWS = 20


class _Sheet(io.StringIO):
    """Text in memory that rich takes for a file of this encoding: in ASCII it draws no box characters."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """What `rich` asks for."""
        return self._encoding


def table(
    title: str,
    text: Iterable[str],
    numbers: Iterable[str] = (),
    rows: Iterable[Iterable[object]] = (),
    *,
    no_wrap: bool = False,
) -> Table:
    """Return a table of rich with columns of text, then columns of numbers, under these headings."""
    from rich.table import Table

    made = Table(title=title, title_justify="left")
    for headings, side in ((text, "left"), (numbers, "right")):
        for heading in headings:
            overflow = "ellipsis" if no_wrap else "fold"
            made.add_column(heading, justify=side, overflow=overflow, no_wrap=no_wrap)  # type: ignore[arg-type]
    for row in rows:
        made.add_row(*map(str, row))
    return made


def rendered(*renderables: Any, width: int = WIDTH, ascii_only: bool = False, colour: bool = False) -> str:
    """Return what rich would print of tables and text."""
    from rich.console import Console

    sheet = _Sheet("ascii" if ascii_only else "utf-8")
    console = Console(file=sheet, force_terminal=colour, width=width, highlight=False, soft_wrap=False)
    for renderable in renderables:
        console.print(renderable)
    return sheet.getvalue()


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines of text with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def as_text(heading: str, frame: DataFrame, *notes: str) -> str:
    """Return a heading, the first `MOST_ROWS` rows of a table, and sentences below it."""
    shown = frame.head(MOST_ROWS)
    cells = [[_cell(value) for value in row] for row in shown.itertuples(index=False)]
    lines = [heading, "", *aligned([list(map(str, frame.columns)), *cells])]
    return "\n".join([*lines, *_cut(frame), *(["", *notes] if notes else [])])


def as_html(heading: str, content: DataFrame | Mapping[str, str], *notes: str) -> str:
    """Return a heading, a table and sentences below it, for a notebook.

    content: a table, of which the first `MOST_ROWS` rows are shown, or facts by name.
    """
    import pandas

    facts = isinstance(content, Mapping)
    frame = pandas.DataFrame(list(content.items())) if isinstance(content, Mapping) else content
    made = pandas.DataFrame(
        [[_cell(value) for value in row] for row in frame.head(MOST_ROWS).itertuples(index=False)],
        columns=frame.columns,
    )
    with pandas.option_context("display.max_colwidth", None):
        grid = made.to_html(index=False, header=not facts, border=0)
    below = [f"<div>{escape(line)}</div>" for line in (*_cut(frame), *notes)]
    return "\n".join([f"<div><b>{escape(heading)}</b></div>", grid, *below])


def _cut(frame: DataFrame) -> list[str]:
    more = len(frame) - MOST_ROWS
    return [f"and {more} rows more: to_dataframe() has them all"] if more > 0 else []


def _cell(value: Any) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
