"""What the commands share: tables for people, JSON for machines, progress on standard error."""

from __future__ import annotations

import json
import math
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from specsim.cli.plain import in_ascii, is_plain
from specsim.support.files import replacing, write_text
from specsim.support.showing import columns as columns, rendered, table as table

if TYPE_CHECKING:
    import xarray

#: Help of the option ``--json`` of every command.
JSON_HELP = "Print the result as JSON on standard output."

#: Help of the option ``--costs``.
COSTS_HELP = (
    "Costs in units of one target call, such as draft=0.1,overhead=0.02 (also token, free, context, prompt), "
    "or a file with measured times (docs/plan.md)."
)


class Count(click.ParamType):  # type: ignore[type-arg]
    """A whole number from `least` to `most` that may be written 200000, 200_000 or 2e5."""

    name = "count"

    def __init__(self, least: int | None = None, most: int | None = None) -> None:
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number, or fail with a usage error."""
        try:
            number = Fraction(str(value).replace("_", ""))
        except (ValueError, ZeroDivisionError):
            number = Fraction(1, 2)
        if number.denominator != 1:
            self.fail(f"{value!r} is not a whole number; write it as 200000 or 2e5", param, ctx)
        found = int(number)
        low, high = self._least, self._most
        if (low is not None and found < low) or (high is not None and found > high):
            limits = f"of at least {low}" if high is None else f"from {low} to {high}"
            self.fail(f"{value} is out of range; give a whole number {limits}", param, ctx)
        return found


def show(*renderables: Any) -> None:
    """Print tables and text of rich on standard output, in colour on a terminal."""
    ascii_only = is_plain()
    terminal = sys.stdout.isatty() and not ascii_only
    text = rendered(*renderables, ascii_only=ascii_only, colour=terminal)
    if ascii_only:
        text = in_ascii(text)
    # Not printed by rich itself, which would end the program with code 1 when a pipe breaks.
    click.echo(text, nl=False, color=terminal)


def show_json(document: dict[str, Any]) -> None:
    """Print a document as JSON; see `plain` for what becomes of rationals and arrays."""
    click.echo(json_text(document))


def json_text(document: dict[str, Any]) -> str:
    """Return what `show_json` prints."""
    return json.dumps(plain(document), indent=2, allow_nan=False)


def give_json(document: dict[str, Any], path: Path | None, *, shown: bool) -> None:
    """Write a document to a file, print it, both, or neither."""
    if path is not None:
        write_text(path, json_text(document) + "\n")
    if shown:
        show_json(document)


def plain(value: Any) -> Any:
    """Return `value` in JSON's types: rationals as ``"p/q"``, arrays as lists, nan and infinity as None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Fraction):
        return spell_exact(value)
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def spell_exact(value: Fraction) -> str:
    """Return all digits of a rational, however many."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return str(value)
    finally:
        sys.set_int_max_str_digits(limit)


#: Seconds after which a command says what it is doing.
_PATIENCE = 2.0


@contextmanager
def doing(what: str) -> Iterator[Callable[[], None]]:
    """Say on standard error what takes long, once, when the block takes more than two seconds.

    Yields: called when something else shows that there is progress; then nothing is said.
    """

    def say() -> None:
        with suppress(OSError, ValueError):
            print(f"specsim: {what}", file=sys.stderr, flush=True)

    timer = threading.Timer(_PATIENCE, say)
    timer.daemon = True
    timer.start()
    try:
        yield timer.cancel
    finally:
        timer.cancel()


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error while the block runs; only on a terminal.

    Yields: called with how many of `total` are done.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    waiting = f"{what}; kernels are compiled on first use, which takes up to a minute"
    with bar, doing(waiting) as moving:
        task = bar.add_task(what, total=total)

        def update(done: int) -> None:
            moving()
            bar.update(task, completed=done)

        yield update


@contextmanager
def output_file(path: Path | None) -> Iterator[Path | None]:
    """Give a temporary path that becomes `path` when the block ends well; None for None.

    Entered before the work, so that an unwritable folder is found out then and not after it.
    """
    if path is None:
        yield None
    else:
        with replacing(path) as temporary:
            yield temporary


def write_dataset(dataset: xarray.Dataset, path: Path) -> None:
    """Write a Dataset as netCDF."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.to_netcdf(path, engine="h5netcdf")
