"""Clocks from measured tables: times of target calls, of draft steps, or of whole rounds."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from specsim.algorithms import Structure
from specsim.clocks.clock import CostModel, cost
from specsim.errors import InputError
from specsim.support.checks import path_of, whole
from specsim.support.files import read_file

_REMEDY = "give JSON with target, draft or round, or CSV with the columns kind, batch, width, time"
_KINDS = ("target", "draft", "round")


@dataclass(frozen=True, kw_only=True)
class MeasuredClock(CostModel):
    """Costs read between measured points by straight lines, never beyond them.

    Parameters
    ----------
    target
        Time of a target call by ``(batch, width)``; width counts the tokens of each sequence.
    draft
        Time of a draft step by ``(batch, width)``.
    round
        Time of a whole round by ``(batch, draft length)``, 0 for plain decoding. Where it is given it is
        used for chains, instead of the sum of the parts.
    overhead
        Of a round that drafts, where `round` does not say.
    name
        Where the table comes from.

    All times are in one unit of the table's own; they are divided by the time of a plain target call, that is
    ``target[1, 1]`` or else ``round[1, 0]``, which has to be there.

    Examples
    --------
    >>> from specsim import MeasuredClock, chain
    >>> clock = MeasuredClock(target={(1, 1): 10, (1, 5): 12}, draft={(1, 1): 1})
    >>> clock.round_time(chain(2))
    Fraction(13, 10)
    """

    target: Mapping[tuple[int, int], Any] = field(default_factory=dict)
    draft: Mapping[tuple[int, int], Any] = field(default_factory=dict)
    round: Mapping[tuple[int, int], Any] = field(default_factory=dict)
    overhead: Any = 0
    name: str = "measured table"

    def __post_init__(self) -> None:
        for kind in _KINDS:
            table = {
                (
                    whole(f"{kind} batch", batch, 1),
                    whole(f"{kind} width", width, 0 if kind == "round" else 1),
                ): cost(f"{kind} time", time)
                for (batch, width), time in getattr(self, kind).items()
            }
            object.__setattr__(self, kind, table)
        object.__setattr__(self, "overhead", cost("overhead", self.overhead))
        unit = self.target.get((1, 1), self.round.get((1, 0)))
        if not unit:
            raise InputError(
                f"{self.name} has no time of a plain target call; add target of batch 1 and width 1, or "
                "round of "
                "batch 1 and draft length 0, above 0"
            )
        object.__setattr__(self, "_unit", unit)

    def target_time(self, width: int, batch: int = 1, start: int = 0) -> Fraction:
        """Return the time of a target call, between the measured points."""
        if width == 1 and not self.target:
            return self._between("round", batch, 0)
        return self._between("target", batch, width)

    def draft_time(self, width: int, batch: int = 1, start: int = 0) -> Fraction:
        """Return the time of a draft step, between the measured points."""
        return self._between("draft", batch, width)

    def overhead_time(self, batch: int = 1) -> Fraction:
        """Return the overhead of a round."""
        return Fraction(self.overhead / self._unit)  # type: ignore[attr-defined]

    def round_time(self, structure: Structure, batch: int = 1, start: int = 0) -> Fraction:
        """Return the measured time of a round of a chain, or the sum of the parts."""
        if self.round and structure.kind == "chain":
            return self._between("round", batch, structure.depth)
        return super().round_time(structure, batch, start)

    @property
    def label(self) -> str:
        """Where the table comes from."""
        return self.name

    def _between(self, kind: str, batch: int, width: int) -> Fraction:
        table: Mapping[tuple[int, int], Fraction] = getattr(self, kind)
        if not table:
            raise InputError(f"{self.name} has no {kind} times; add them")
        by_batch = {b: {w: t for (c, w), t in table.items() if c == b} for b, _ in table}
        what = "draft length" if kind == "round" else "width"

        def at(b: int) -> Fraction:
            return _line(by_batch[b], width, f"{self.name}: {kind} times of batch {b}", what)

        below = [b for b in by_batch if b <= batch]
        above = [b for b in by_batch if b >= batch]
        if not below or not above:
            raise InputError(
                f"{self.name}: {kind} times are of batch {min(by_batch)} to {max(by_batch)}, not {batch}; "
                "measure "
                "there, or ask within"
            )
        low, high = max(below), min(above)
        time = at(low) if low == high else _mix(low, at(low), high, at(high), batch)
        return time / self._unit  # type: ignore[attr-defined]


def _line(points: Mapping[int, Fraction], x: int, where: str, what: str) -> Fraction:
    if x in points:
        return points[x]
    below, above = [p for p in points if p < x], [p for p in points if p > x]
    if not below or not above:
        raise InputError(
            f"{where} have {what} {min(points)} to {max(points)}, not {x}; measure more, "
            "or stay within this range"
        )
    low, high = max(below), min(above)
    return _mix(low, points[low], high, points[high], x)


def _mix(low: int, at_low: Fraction, high: int, at_high: Fraction, x: int) -> Fraction:
    return at_low + (at_high - at_low) * Fraction(x - low, high - low)


def read_clock(path: str | os.PathLike[str]) -> MeasuredClock:
    r"""Read a measured table from a file.

    Parameters
    ----------
    path
        CSV with the columns ``kind`` (target, draft or round), ``batch`` (1), ``width`` (1; of a round
        its draft length) and ``time``; or a JSON object with ``target``, ``draft`` and ``round``, each a
        list of objects with ``batch``, ``width`` (or ``draft_length``) and ``time``, and ``overhead``.

    Raises
    ------
    InputError
        The file cannot be read, or an entry is no such thing; the message says which.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from specsim import chain, read_clock
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "costs.csv"
    ...     _ = path.write_text("kind,width,time\nround,0,11.5\nround,2,13.8\n")
    ...     read_clock(path).round_time(chain(2))
    Fraction(6, 5)
    """
    place = path_of("path", path)
    try:
        text = read_file(place, _REMEDY, most_bytes=2**24).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read {place}: not UTF-8 (byte {error.start}); {_REMEDY}") from None
    overhead: Any = 0
    if text.lstrip().startswith("{"):
        rows, overhead = _from_json(place, text)
    else:
        rows = _from_csv(place, text)
    tables: dict[str, dict[tuple[int, int], Fraction]] = {kind: {} for kind in _KINDS}
    for where, row in rows:
        kind = row.get("kind")
        if kind == "overhead":
            overhead = row.get("time")
            continue
        if kind not in tables:
            raise InputError(f"{where}: kind is {kind!r}; give target, draft, round or overhead")
        width = row.get("draft_length", row.get("width", 1))
        key = (_int(where, "batch", row.get("batch", 1)), _int(where, "width", width))
        if key in tables[kind]:
            raise InputError(
                f"{where}: {kind} of batch {key[0]} and width {key[1]} is given twice; give it once"
            )
        tables[kind][key] = _time(where, row.get("time"))
    if not any(tables.values()):
        raise InputError(f"{place} has no times; {_REMEDY}")
    return MeasuredClock(**tables, overhead=_time(f"{place}, overhead", overhead), name=place.name)


def _from_json(place: Path, text: str) -> tuple[list[tuple[str, dict[str, Any]]], Any]:
    try:
        document = json.loads(text, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise InputError(f"cannot read {place}: {str(error)[:80]}; {_REMEDY}") from None
    rows = []
    for kind in _KINDS:
        listed = document.get(kind, [])
        if not isinstance(listed, list) or not all(isinstance(row, dict) for row in listed):
            raise InputError(f"{place}: {kind} is not a list of objects; {_REMEDY}")
        rows += [
            (f"{place}, {kind} {number}", {**row, "kind": kind}) for number, row in enumerate(listed, start=1)
        ]
    return rows, document.get("overhead", 0)


def _from_csv(place: Path, text: str) -> list[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    names = [str(name).strip() for name in reader.fieldnames or []]
    if not {"kind", "time"} <= set(names):
        raise InputError(f"{place}: the first line is {text[:40]!r}; {_REMEDY}")
    reader.fieldnames = names
    try:
        return [
            (
                f"{place}, line {reader.line_num}",
                {key: str(value).strip() for key, value in row.items() if value},
            )
            for row in reader
        ]
    except csv.Error as error:
        raise InputError(f"cannot read {place}: {error}; {_REMEDY}") from None


def _int(where: str, name: str, value: Any) -> int:
    text = str(value).strip()
    if not text.isdecimal() or len(text) > 9:
        raise InputError(f"{where}: {name} is {value!r}; give a whole number")
    return int(text)


def _time(where: str, value: Any) -> Fraction:
    try:
        text = str(value).strip()
        if len(text) > 40:
            raise ValueError(text)
        number = float(text)
        return cost("time", Fraction(text) if number < 1e12 and "e" not in text.lower() else number)
    except (ValueError, InputError):
        raise InputError(f"{where}: time is {value!r}; give a number of at least 0") from None
