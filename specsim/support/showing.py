"""How results show themselves: tables for terminals, aligned text, HTML for notebooks."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.table import Table

#: Columns of a printed result where nobody knows those of the terminal.
WIDTH = 110
#: The narrowest and the widest lines that are printed, whatever the terminal says.
_NARROWEST, _WIDEST = 40, 400
#: Fewest characters of a column of text that is folded.
_FEWEST = 12
#: Most rows that a result prints of itself; `to_dataframe` has them all.
MOST_ROWS = 20


def columns() -> int:
    """Return how wide printed lines may be: as the variable COLUMNS says, the terminal, or else `WIDTH`."""
    if not (os.environ.get("COLUMNS", "").isdecimal() or (sys.stdout is not None and sys.stdout.isatty())):
        return WIDTH
    return min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)


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


def rendered(
    *renderables: Any, width: int | None = None, ascii_only: bool = False, colour: bool = False
) -> str:
    """Return what rich would print of tables and text.

    width: the most characters of a line. Defaults to None: as many as `columns` says.
    """
    from rich.console import Console

    width = columns() if width is None else width
    sheet = _Sheet("ascii" if ascii_only else "utf-8")
    console = Console(file=sheet, force_terminal=colour, width=width, highlight=False, soft_wrap=False)
    for renderable in renderables:
        for part in _fitting(renderable, width):
            console.print(part)
    return sheet.getvalue()


def _fitting(renderable: Any, width: int) -> list[Any]:
    """Return a table as one or more that fit the width without cutting a number, and all else as it is.

    Headings of numbers are folded as far as necessary. Numbers that still do not fit follow in tables below,
    after the same columns of text. Text is folded; the first column only if it takes more than a third of the
    width.
    """
    from rich.table import Table

    if not isinstance(renderable, Table):
        return [renderable]
    columns = renderable.columns
    sizes = [_longest([column.header, *column.cells], str.splitlines) for column in columns]
    if sum(sizes) + 3 * len(sizes) + 1 <= width:
        return [renderable]
    numbers = [i for i, column in enumerate(columns) if column.justify == "right"]
    texts = [i for i in range(len(columns)) if i not in numbers]
    whole = {i for i in texts[:1] if sizes[i] <= width // 3}
    room = width - 1 - sum((sizes[i] if i in whole else min(sizes[i], _FEWEST)) + 3 for i in texts)
    groups: list[list[int]] = [[]]
    for i in numbers:
        if groups[-1] and sum(_heading(columns[j], 1)[1] + 3 for j in [*groups[-1], i]) > room:
            groups.append([])
        groups[-1].append(i)
    parts: list[Table] = []
    for group in groups:
        widest = max((len(str(columns[i].header)) for i in group), default=1)
        while widest > 1 and sum(_heading(columns[i], widest)[1] + 3 for i in group) > room:
            widest -= 1
        made = copy(renderable)
        made.columns, made.rows = [], []
        if parts:
            made.title = None
        for i in sorted([*texts, *group]):
            column, is_number = columns[i], i in group
            header = _heading(column, widest)[0] if is_number else column.header
            made.add_column(header, justify=column.justify, overflow="fold", no_wrap=is_number or i in whole)
        for row in zip(*(columns[i].cells for i in sorted([*texts, *group])), strict=True):
            made.add_row(*row)
        parts.append(made)
    return parts


def _heading(column: Any, widest: int) -> tuple[str, int]:
    """Return the heading in lines of at most `widest` characters (or one word), and the column's width."""
    header = str(column.header)
    lines = textwrap.wrap(header, max(widest, _longest([header], str.split)))
    return "\n".join(lines), _longest([*lines, *column.cells], str.splitlines)


def _longest(values: Iterable[Any], split: Callable[[str], list[str]]) -> int:
    return max((len(part) for value in values for part in split(str(value))), default=1) or 1


def aligned(lines: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """Return rows of cells as lines of text with aligned columns; the first row has the headings.

    Columns that do not fit the width follow below, after the first column again; long cells are folded.

    width: the most characters of a line. Defaults to None: as many as `columns` says.
    """
    width = columns() if width is None else width
    share = width // 2 if width >= 100 else width * 2 // 5
    first = min(max(len(line[0]) for line in lines), max(12, share))
    sizes = [min(max(map(len, column)), width - first - 2) for column in zip(*lines, strict=True)]
    if sum(sizes) + 2 * (len(sizes) - 1) <= width:
        return _aligned(lines, sizes)
    sizes[0] = first
    groups: list[list[int]] = [[0]]
    for number in range(1, len(sizes)):
        if len(groups[-1]) > 1 and sum(sizes[i] + 2 for i in groups[-1]) + sizes[number] > width:
            groups.append([0])
        groups[-1].append(number)
    found: list[str] = []
    for group in groups:
        found += ["", *_aligned([[line[i] for i in group] for line in lines], [sizes[i] for i in group])]
    return found[1:]


def _aligned(lines: Sequence[Sequence[str]], sizes: Sequence[int]) -> list[str]:
    found = []
    for line in lines:
        parts = [_folded(cell, size) for cell, size in zip(line, sizes, strict=True)]
        for row in range(max(map(len, parts))):
            cells = [
                (part[row] if row < len(part) else "").ljust(size)
                for part, size in zip(parts, sizes, strict=True)
            ]
            found.append("  ".join(cells).rstrip())
    return found


def _folded(text: str, width: int) -> list[str]:
    """Cut a text into lines, after a space or a mark where possible."""
    if len(text) <= width:
        return [text]
    lines = [""]
    for piece in re.split(r"(?<=[ ,:;/])", text):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("")
        rest = lines[-1] + piece
        while len(rest.rstrip()) > width:
            lines[-1], rest = rest[:width], rest[width:]
            lines.append("")
        lines[-1] = rest
    return [line.rstrip() for line in lines]


def wrapped(text: str, indent: str = "") -> list[str]:
    """Return a text in lines that fit the terminal, and are at most `WIDTH` long."""
    width = min(columns(), WIDTH)
    lines = textwrap.wrap(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [part for line in lines for part in _folded(line, width)]


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
