"""Tables of acceptance lengths by draft length: InferenceX's YAML, and CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator

from specsim.records.servers.log import LONGEST_DRAFT, Format, Setting, Source

_LENGTHS = ("K", "k", "num_speculative_tokens", "draft_length", "num_spec_tokens")
_MEANS = ("accept_len", "acceptance_length", "mean_acceptance_length", "AL", "al")
_SPEEDS = ("net_speedup", "speedup", "speed_up")
_SCOPES = ("scope", "workload", "table", "model")
_ITEM = re.compile(r"""["']?(\d+)["']?\s*:\s*["']?([^\s,}"']+)""")


def _read_yaml(source: Source) -> Iterator[Setting]:
    tables: dict[str, dict[int, float]] = {}
    model = mode = ""
    for number, line in enumerate(source.text.splitlines(), start=1):
        text = line.split("#")[0].rstrip()
        if not text.strip():
            continue
        head = re.match(r"^(\s*)([A-Za-z_][\w.\-/]*)\s*:\s*(.*)$", text)
        if head and not head[1]:
            model, mode = head[2], ""
        elif head:
            mode = head[2]
        rest = head[3] if head else text
        items = _ITEM.findall(rest)
        if model.startswith("_") or mode.startswith("_") or not items:
            continue
        table = tables.setdefault(f"{model}/{mode}".strip("/"), {})
        for key, value in items:
            length = source.count(f"line {number}, draft length", key)
            if length in table:
                source.refuse(f"line {number}: draft length {length} is given twice; give it once")
            if value not in ("N/A", "null", "~"):
                table[length] = source.number(f"line {number}, acceptance length", value)
    yield from _settings(source, tables, {})


def _read_csv(source: Source) -> Iterator[Setting]:
    if not _is_csv(source.text):
        source.refuse(
            f"no column is one of {', '.join(_LENGTHS)} and one of {', '.join(_MEANS)}; name them so"
        )
    reader = csv.DictReader(io.StringIO(source.text, newline=""), skipinitialspace=True)
    names = [str(name).strip() for name in reader.fieldnames or []]
    reader.fieldnames = names
    length, mean = (next(n for n in known if n in names) for known in (_LENGTHS, _MEANS))
    speed = next((n for n in _SPEEDS if n in names), None)
    scope = next((n for n in _SCOPES if n in names), None)
    tables: dict[str, dict[int, float]] = {}
    speeds: dict[str, dict[int, float]] = {}
    for row in reader:
        where = f"line {reader.line_num}"
        name = str(row[scope]) if scope else ""
        drafted = source.count(f"{where}, {length}", row[length])
        if drafted in tables.setdefault(name, {}):
            source.refuse(f"{where}: {length} {drafted} is given twice; keep one, or add a column scope")
        tables[name][drafted] = source.number(f"{where}, {mean}", row[mean])
        if speed and row[speed]:
            faster = source.number(f"{where}, {speed}", row[speed])
            if not faster:
                source.refuse(f"{where}: {speed} is 0; give a speed-up above 0, or leave it out")
            speeds.setdefault(name, {})[drafted] = faster
    yield from _settings(source, tables, speeds)


def _settings(
    source: Source, tables: dict[str, dict[int, float]], speeds: dict[str, dict[int, float]]
) -> Iterator[Setting]:
    tables = {name: table for name, table in tables.items() if table}
    if not tables:
        source.refuse("there is no acceptance length; give lines such as '3: 2.83'")
    if source.select is None and len(tables) > 1:
        source.refuse(f"several tables: {', '.join(tables)}; choose one with select (--select NAME)")
    name = source.select if source.select is not None else next(iter(tables))
    if name not in tables:
        source.refuse(f"no table is called {name!r}; there are {', '.join(tables)}")
    source.notes.append(
        f"table {name or source.place}: acceptance lengths of {len(tables[name])} draft lengths, which count "
        "the bonus"
    )
    for length, value in sorted(tables[name].items()):
        if length == 0:
            continue
        if length > LONGEST_DRAFT or not 1 <= value <= length + 1:
            source.refuse(
                f"acceptance length {value:g} at draft length {length}; it counts the bonus, so that it is "
                "from 1 to "
                f"{length + 1}, and drafts have at most {LONGEST_DRAFT}"
            )
        speed = speeds.get(name, {}).get(length, math.nan)
        yield Setting(draft_length=length, mean=value - 1, speed_up=speed)


def _is_csv(text: str) -> bool:
    names = {name.strip() for name in text.lstrip().split("\n", 1)[0].split(",")}
    return bool(names & set(_LENGTHS)) and bool(names & set(_MEANS))


FORMATS = (
    Format(
        "inferencex",
        "YAML table of InferenceX",
        lambda text: (
            text.lstrip()[:1] not in ("{", "[")
            and re.search(r"^\s+(thinking_o(n|ff)\b|[\"']?\d+[\"']?\s*:)", text, re.MULTILINE) is not None
            and re.search(r"^[A-Za-z][\w.\-/]*:", text, re.MULTILINE) is not None
        ),
        _read_yaml,
    ),
    Format("table", "CSV table of acceptance lengths by draft length", _is_csv, _read_csv),
)
