"""Comparisons as text."""

import math
from collections.abc import Iterable

from specsim.paper_figures.comparison import Row

HEADINGS = ("quantity", "ours", "reference", "source", "difference", "verdict")


def cells(row: Row) -> tuple[str, ...]:
    """Return the texts of one row, in the order of `HEADINGS`."""
    difference = row.difference
    if not math.isfinite(difference):
        apart = "-"
    elif row.unit == "sigma":
        apart = f"{round(difference, 1) + 0.0:+.1f} sigma"
    else:
        difference = 0.0 if abs(difference) <= 1e-12 else difference
        small = 0 < abs(difference) < 5e-5
        apart = f"{difference:+.0e}" if small else f"{difference:+.4f}"
    return (
        row.quantity,
        _number(row.ours),
        _number(row.reference),
        row.source,
        apart,
        row.verdict,
    )


def mark(row: Row) -> str:
    """Return ``ok``, ``FAIL``, or nothing for a row that demands nothing."""
    if not row.required:
        return ""
    return "ok" if row.passed else "FAIL"


def as_markdown(rows: Iterable[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| " + " | ".join((*HEADINGS, "")) + " |",
        "|" + "---|" * (len(HEADINGS) + 1),
    ]
    lines += ["| " + " | ".join((*cells(row), mark(row))) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "-"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.0f}"
