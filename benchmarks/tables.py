"""The tables that ``specsim bench`` prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

Row = dict[str, Any]


def tables(result: Row) -> list[Any]:
    """Return a table of rich for every part that was measured."""
    machine = result["environment"]
    load = machine["load_average"]
    busy = "" if load is None else f", load average {load[0]:.1f}"
    made = [
        _table(
            f"CPU nanoseconds per token; {machine['processor']}, one core{busy}",
            ("workload", "contender", "median", "low", "high", "tables, ms", "method"),
            result["timings"],
            _timing,
        ),
        _table(
            "Ratios of interleaved times",
            ("workload", "contender", "against", "median", "low", "high", "asked", "met"),
            result["ratios"],
            lambda row: (
                row["workload"], row["contender"], row["against"], *_numbers(row, "ratio", "low", "high"),
                row["limit"], _met(row["met"]),
            ),
        ),
        _table(
            "Tokens per second and core",
            ("workload", "contender", "1e9 tokens/s", "asked", "met"),
            result["rates"],
            lambda row: (
                row["workload"], row["contender"], f"{row['tokens_per_second'] / 1e9:.3g}",
                f"{row['least'] / 1e9:g}", _met(row["met"]),
            ),
        ),
        _table(
            "Fractions of physical ceilings",
            ("workload", "contender", "ceiling", "median", "low", "high"),
            result["fractions"],
            lambda row: (
                row["workload"], row["contender"], row["ceiling"], *_numbers(row, "fraction", "low", "high"),
            ),
        ),
        _table(
            "Literal engine, quotients of interleaved CPU times, or seconds",
            ("what", "median", "low", "high", "asked", "met"),
            result.get("literal", ()),
            _limited,
        ),
        _table(
            "Systems, CPU nanoseconds per emitted token, or quotients of interleaved CPU times",
            ("what", "median", "low", "high", "asked", "met"),
            result.get("systems", ()),
            _limited,
        ),
        _table(
            "Exact expected rejections, CPU milliseconds",
            ("contexts", "horizon", "pair", "median", "low", "high", "asked", "met"),
            result.get("exact", ()),
            _exact,
        ),
        _table(
            "CPU time grows as the quantity to the power of",
            ("quantity", "engine", "at", "from", "to", "median", "low", "high", "stated", "met"),
            [row for row in result.get("scaling", ()) if "cpu_nanoseconds" not in row],
            _exponent,
        ),
        _table(
            "Two threads against one",
            ("engine", "at", "CPU ns per token, 1", "2", "wall ratio", "low", "high", "asked", "met"),
            [row for row in result.get("scaling", ()) if "cpu_nanoseconds" in row],
            lambda row: (
                row["engine"], row["at"], *(f"{time:.3g}" for time in row["cpu_nanoseconds"]),
                *_numbers(row, "wall_ratio", "low", "high"), "at least 1.8", _met(row["met"]),
            ),
        ),
        _table(
            "Start-up, seconds",
            ("what", "wall", "CPU", "asked", "met"),
            result.get("startup", ()),
            lambda row: (
                row["what"], "" if row["wall"] is None else f"{row['wall']:.2f}", f"{row['cpu']:.2f}",
                "" if row["limit"] is None else f"at most {row['limit']:g}", _met(row["met"]),
            ),
        ),
    ]  # fmt: skip
    return [table for table in made if table is not None]


def _table(
    title: str, columns: Sequence[str], rows: Iterable[Row], cells: Callable[[Row], Sequence[str]]
) -> Any:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left")
    for row in rows:
        table.add_row(*cells(row))
    return table if table.row_count else None


def _limited(row: Row) -> list[str]:
    return [
        row["what"],
        *(f"{pick(row['values'] or [float('nan')]):.3g}" for pick in (median, min, max)),
        "" if row["limit"] is None else f"at most {row['limit']:g}",
        row["problem"] or _met(row["met"]),
    ]


def _numbers(row: Row, *names: str) -> list[str]:
    return [f"{row[name]:.3g}" for name in names]


def _met(met: bool | None) -> str:
    return "" if met is None else "yes" if met else "no"


def _timing(row: Row) -> tuple[str, ...]:
    timed = _numbers(row, "median", "low", "high") if row["nanoseconds"] else ["wrong", "", ""]
    fixed = f"{1e3 * median(row['fixed']):.3g}" if row["fixed"] else ""
    return (row["workload"], row["contender"], *timed, fixed, row["problem"] or row["note"])


def _exact(row: Row) -> tuple[str, ...]:
    start = (str(row["contexts"]), str(row["horizon"]), "stationary" if row["stationary"] else "by step")
    if row["problem"]:
        return (*start, row["problem"], "", "", "", "")
    times = [1e3 * seconds for seconds in row["seconds"]]
    middle, limit = median(times), row["limit"]
    return (
        *start,
        *(f"{value:.3g}" for value in (middle, min(times), max(times))),
        "" if limit is None else f"at most {1e3 * limit:g}",
        _met(None if limit is None else middle <= 1e3 * limit),
    )


def _exponent(row: Row) -> tuple[str, ...]:
    start = (row["quantity"], row["engine"], row["at"], str(row["values"][0]), str(row["values"][-1]))
    if "exponent" not in row:
        return (*start, row["problem"] or "one core only", "", "", "", "")
    stated = f"at most {row['most']:g}"
    return (*start, *(f"{row[name]:.2f}" for name in ("exponent", "low", "high")), stated, _met(row["met"]))
