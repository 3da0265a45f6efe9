"""Acceptance logs of inference servers, read from plain CSV and JSON.

A log is a CSV file with a header, a JSON file (one object, or a list of objects), or JSON Lines. Every
record has one of four forms, recognised by its names; other names are ignored, and objects inside a JSON
record are searched too.

==============  ===========================================================================================
form            names
==============  ===========================================================================================
one round       ``accepted``: accepted drafted tokens of the round; ``drafted``: drafted ones; ``request``:
                any label of the request; ``count``: how many such rounds (1)
one request     ``accepted`` (or ``per_step_accepted``): a list, one number for each round; ``drafted`` (or
                ``per_step_drafted``): a list or one number
histogram       ``accepted_histogram``: rounds by accepted tokens, a list from 0 on, or a mapping
counters        ``rounds``: number of rounds; ``accepted_per_position``: in how many rounds the first,
                second, ... drafted token was accepted (so never increasing); ``drafted``: their sum, which
                must be rounds x positions
==============  ===========================================================================================

In CSV a list stands in one cell: numbers with spaces, semicolons or commas between them, in brackets or not.
``drafted`` may be missing where ``draft_length`` is given, in the record or by the caller. `ALIASES` holds
the names that servers use. Totals alone (tokens accepted in a number of rounds) have no law and are
refused.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from specsim.errors import InputError
from specsim.records.acceptance_estimates import acceptance_estimates
from specsim.support.files import read_file

if TYPE_CHECKING:
    import xarray

#: Other names of each field: those of vLLM's counters and SGLang's per-request statistics among them.
ALIASES: dict[str, tuple[str, ...]] = {
    "accepted": (
        "accepted_tokens",
        "num_accepted_tokens",
        "num_accepted_draft_tokens",
        "num_accepted",
        "n_accepted",
        "accept_lengths",
    ),
    "drafted": (
        "drafted_tokens",
        "num_draft_tokens",
        "draft_tokens",
        "n_drafted",
        "spec_num_proposed_drafts",
    ),
    "per_step_accepted": (),
    "per_step_drafted": (),
    "draft_length": ("num_spec_tokens",),
    "request": ("request_id", "rid", "req_id", "sequence"),
    "count": ("weight",),
    "accepted_histogram": ("acceptance_histogram", "spec_correct_drafts_histogram", "spec_accept_histogram"),
    "rounds": ("num_drafts", "num_spec_steps", "spec_verify_ct", "verification_steps"),
    "accepted_per_position": ("num_accepted_tokens_per_pos", "accepted_tokens_per_pos"),
}

_NAMES = {
    name: field for field, others in ALIASES.items() for name in (field, *others)
}  # every spelling -> field

Record = Mapping[str, Any]

#: Largest number that a log may hold; sums and squares of such numbers are checked where they are made.
MOST_ROUNDS = 2**62
#: Longest draft of a round: a vector of this length is kept for each law.
LONGEST_DRAFT = 10_000
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?")


def read_acceptance_log(
    path: str | os.PathLike[str],
    *,
    draft_length: int | None = None,
    bonus: bool = True,
    level: float = 0.95,
) -> xarray.Dataset:
    """Read an acceptance log and estimate acceptance from it; the module lists the file formats.

    Parameters
    ----------
    path
        The file.
    draft_length
        Drafted tokens of every round where the log does not say. Defaults to None (the log says).
    bonus
        Whether the server emits one more token when a whole draft is accepted, as nearly all do.
    level
        Confidence of each interval.

    Returns
    -------
    xarray.Dataset
        As `specsim.records.acceptance_estimates.acceptance_estimates` returns it.

    Raises
    ------
    InputError
        The file is missing, empty, neither CSV nor JSON, or a record is of no known form or contradicts
        itself; the message says which record.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from specsim import read_acceptance_log
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "log.json"
    ...     _ = path.write_text('{"accepted": [3, 4, 0], "drafted": 4}')
    ...     round(float(read_acceptance_log(path).block_efficiency), 4)
    3.3333
    """
    place = Path(path)
    try:
        text = read_file(place, "give a CSV or JSON file").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read {place}: not UTF-8 (byte {error.start}); give a text file") from None
    records = records_of(place, text)
    rounds = Rounds(place, draft_length)
    for number, record in enumerate(records, start=1):
        rounds.add(number, record)
    if not rounds.accepted:
        raise InputError(f"{place} has no rounds; give a log with at least one")
    named = all(request is not None for request in rounds.request)
    return acceptance_estimates(
        np.array(rounds.accepted),
        np.array(rounds.drafted),
        request=np.array([str(request) for request in rounds.request]) if named else None,
        count=np.array(rounds.count),
        bonus=bonus,
        level=level,
        attributes={"source": place.name},
    )


class Rounds:
    """Rounds collected from records."""

    def __init__(self, place: Path, draft_length: int | None) -> None:
        self.place = place
        if draft_length is not None and not (
            type(draft_length) is int and 1 <= draft_length <= LONGEST_DRAFT
        ):
            raise InputError(
                f"draft_length is {draft_length!r}; give a whole number from 1 to {LONGEST_DRAFT}"
            )
        self.draft_length = draft_length
        self.accepted: list[int] = []
        self.drafted: list[int] = []
        self.request: list[Any] = []
        self.count: list[int] = []

    def add(self, number: int, record: Record) -> None:
        """Add the rounds of one record."""
        fields = _known_fields(record)
        request = fields.get("request")
        self._where = f"{self.place}, record {number}"
        for field, listed in (("accepted", "per_step_accepted"), ("drafted", "per_step_drafted")):
            if listed in fields:
                fields[field] = fields[listed]
        usual = fields.get("draft_length", self.draft_length)
        usual = None if usual is None else self._whole("draft_length", usual)
        if "per_step_accepted" not in fields and "accepted_histogram" in fields:
            self._add_histogram(fields, request, usual)
        elif "per_step_accepted" not in fields and "accepted_per_position" in fields:
            self._add_counters(fields, request)
        elif isinstance(fields.get("accepted"), list):
            lengths = [self._whole("accepted", value) for value in fields["accepted"]]
            drafts = fields.get("drafted", usual)
            if not isinstance(drafts, list):
                drafts = [drafts] * len(lengths)
            if len(drafts) != len(lengths):
                self._refuse(f"accepted has {len(lengths)} rounds and drafted {len(drafts)}; they must agree")
            # Rounds of one list belong together even where the request has no name.
            for length, draft in zip(lengths, drafts, strict=True):
                self._put(length, draft, f"record {number}" if request is None else request, 1)
        elif "accepted" in fields and "rounds" in fields:
            self._refuse(
                "totals over rounds have no law of accepted lengths; add accepted_histogram or "
                "accepted_per_position, or give one record for each round"
            )
        elif "accepted" in fields:
            count = self._whole("count", fields.get("count", 1))
            self._put(
                self._whole("accepted", fields["accepted"]),
                fields.get("drafted", usual),
                request,
                count,
            )
        else:
            self._refuse(
                "no accepted, accepted_histogram or accepted_per_position; see the columns in the help"
            )

    def _add_histogram(self, fields: Record, request: Any, usual: int | None) -> None:
        given = fields["accepted_histogram"]
        try:
            cells = {int(key): value for key, value in given.items()} if isinstance(given, dict) else None
        except (TypeError, ValueError):
            self._refuse(f"accepted_histogram has the keys {list(given)}; give whole numbers")
        if cells is None:
            cells = dict(enumerate(given if isinstance(given, list) else [given]))
        if min(cells, default=0) < 0:
            self._refuse(f"accepted_histogram has the key {min(cells)}; give accepted lengths of at least 0")
        counts = {key: self._whole("accepted_histogram", value) for key, value in cells.items()}
        longest = usual
        if longest is None:
            longest = len(given) - 1 if isinstance(given, list) else max(counts, default=0)
        total = sum(counts.values())
        if "rounds" in fields and self._whole("rounds", fields["rounds"]) != total:
            self._refuse(f"rounds is {fields['rounds']} but accepted_histogram sums to {total}")
        if "drafted" in fields and not isinstance(fields["drafted"], list):
            drafted = self._whole("drafted", fields["drafted"])
            if drafted != total * longest:
                self._refuse(
                    f"drafted is {drafted} but {total} rounds of {longest} are {total * longest}; give one "
                    "record for each round where drafts differ in length"
                )
        for length, count in counts.items():
            if count:
                self._put(length, longest, request, count)

    def _add_counters(self, fields: Record, request: Any) -> None:
        given = fields["accepted_per_position"]
        reached = [
            self._whole("accepted_per_position", value)
            for value in (given if isinstance(given, list) else [given])
        ]
        if "rounds" not in fields:
            self._refuse("accepted_per_position needs rounds, the number of rounds")
        rounds = self._whole("rounds", fields["rounds"])
        levels = [rounds, *reached]
        if any(later > earlier for earlier, later in pairwise(levels)):
            self._refuse(f"accepted_per_position {reached} of {rounds} rounds increases; it never can")
        for name, expected in (("drafted", rounds * len(reached)), ("accepted", sum(reached))):
            if name in fields and not isinstance(fields[name], list):
                stated = self._whole(name, fields[name])
                if stated != expected:
                    remedy = (
                        "give one record for each round where drafts differ in length"
                        if name == "drafted"
                        else "the counters are not of the same rounds"
                    )
                    self._refuse(f"{name} is {stated} but the counters make {expected}; {remedy}")
        for length, count in enumerate(np.subtract(levels, [*reached, 0]).tolist()):
            if count:
                self._put(length, len(reached), request, count)

    def _put(self, accepted: int, drafted: Any, request: Any, count: int) -> None:
        if drafted is None:
            self._refuse("drafted is missing; add it, or give draft_length")
        draft = self._whole("drafted", drafted)
        if draft > LONGEST_DRAFT:
            self._refuse(f"drafted is {draft} in one round; give at most {LONGEST_DRAFT}")
        if accepted > draft:
            self._refuse(f"accepted is {accepted} but drafted {draft}; no round accepts more than it drafts")
        self.accepted.append(accepted)
        self.drafted.append(draft)
        self.request.append(request)
        self.count.append(count)

    def _whole(self, field: str, value: Any) -> int:
        if type(value) is int and 0 <= value <= MOST_ROUNDS:
            return value
        text = str(value).strip()
        # Fraction reads any decimal exactly; the length bounds what an exponent could make of it.
        number = None
        if not isinstance(value, bool) and len(text) <= 40 and _NUMBER.fullmatch(text):
            number = Fraction(text)
        if number is None or number.denominator != 1 or not 0 <= number <= MOST_ROUNDS:
            shown = repr(value) if len(text) <= 40 else f"{text[:40]}..."
            self._refuse(f"{field} is {shown}; give whole numbers from 0 to {MOST_ROUNDS}")
        return int(number or 0)

    def _refuse(self, why: str) -> NoReturn:
        raise InputError(f"{self._where}: {why}")


def records_of(place: Path, text: str) -> list[Record]:
    """Return the records of a log that has been read; `place` is its name."""
    start = text.lstrip()[:1]
    if start == "":
        raise InputError(f"{place} is empty; give a log with at least one round")
    if start in "{[":
        return _json_records(place, text)
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    names = [name.strip() for name in reader.fieldnames or []]
    if not any(name in _NAMES for name in names):
        raise InputError(
            f"{place} is not an acceptance log: its first line is {text.splitlines()[0][:60]!r}; "
            "give CSV with a header or JSON"
        )
    reader.fieldnames = names
    records: list[Record] = []
    try:
        for row in reader:
            records.append({key: _cell(key, value) for key, value in row.items() if key and value})
    except csv.Error as error:
        raise InputError(f"cannot read {place}: line {reader.line_num}: {error}; repair the CSV") from None
    return records


def _json_records(place: Path, text: str) -> list[Record]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as whole:
        document = []
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                try:
                    document.append(json.loads(line))
                except json.JSONDecodeError as error:
                    # A single broken document reads better by its own error than as JSON Lines.
                    at = whole if number == 1 else error
                    where = f"line {at.lineno if at is whole else number}"
                    raise InputError(f"cannot read {place}: {where}: {at.msg}; repair the JSON") from None
                except (RecursionError, ValueError) as error:
                    raise _unreadable(place, error) from None
    except (RecursionError, ValueError) as error:
        raise _unreadable(place, error) from None
    records = document if isinstance(document, list) else [document]
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise InputError(f"{place}, record {number}: {str(record)[:40]} is not an object; give objects")
    return records


def _unreadable(place: Path, error: Exception) -> InputError:
    reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error).split(";")[0]
    return InputError(f"cannot read {place}: {reason}; give objects with the fields of a log")


def _cell(name: str, value: Any) -> Any:
    """Read a cell of CSV: a list where several numbers stand in it, or where the field is one."""
    text = str(value).strip()
    if _NAMES.get(name) == "request":
        return text
    listed = text.startswith("[") or _NAMES.get(name) in ("accepted_histogram", "accepted_per_position")
    parts = [part for part in re.split(r"[\s;,]+", text.strip("[]() ")) if part]
    return parts if listed or len(parts) > 1 else text


def _known_fields(record: Record) -> dict[str, Any]:
    """Return the fields by their own names, outer ones before those of objects inside."""
    found: dict[str, Any] = {}
    inner: list[Record] = []
    for name, value in record.items():
        field = _NAMES.get(str(name))
        if field is not None and value is not None:
            found.setdefault(field, value)
        elif isinstance(value, dict):
            inner.append(value)
    for part in inner:
        for field, value in _known_fields(part).items():
            found.setdefault(field, value)
    return found
