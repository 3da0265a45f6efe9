"""The table of real libraries: one data file, its rendering in the docs, and a command for each row.

``python -m benchmarks.real_samplers.table`` lists the rows, ``... table ROW [SECONDS]`` runs one again (with
so much time for the checks of a sampler, where a machine is slow or shared), and ``... table --write`` puts
the table into docs/conformance.md. The data are ``table.json``: a row names a library and its version, what
was run (an adapter, some of its subjects, some checks; or a script of ``examples/confirmations``), what pip
calls it, the variable that names its unpacked wheel, what was found,
when, and when it was run again with which verdict.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from specsim.errors import InputError
from specsim.support.checks import unknown
from specsim.support.files import replacing

_ROOT = Path(__file__).parents[2]
DATA, PAGE = Path(__file__).with_name("table.json"), _ROOT / "docs" / "conformance.md"
BEGIN, END = "<!-- table of real libraries: begin -->\n", "<!-- table of real libraries: end -->\n"
_HEAD = ("row", "library", "what was run", "checks", "verdict", "samples", "s", "run", "run again")


def rows() -> list[dict[str, Any]]:
    """Return the rows of the data file."""
    found: list[dict[str, Any]] = json.loads(DATA.read_text(encoding="utf-8"))
    return found


def rendered() -> str:
    """Return the table in Markdown."""
    lines = [_HEAD, ("---",) * len(_HEAD)]
    for row in rows():
        library = f"{row['library']} {row['version']}"
        names = ("what", "checked", "verdict", "samples", "seconds", "run", "again")
        lines.append((row["id"], library, *(row[name] for name in names)))
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def page(text: str) -> str:
    """Return the page with the table between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{rendered()}\n{END}{after}"


def command(row: dict[str, Any]) -> str:
    """Return the command that repeats a row."""
    variable = f"{row['wheel']}=FOLDER " if row["wheel"] else ""
    return f"{variable}python -m benchmarks.real_samplers.table {row['id']}"


def repeat(row: dict[str, Any], seconds: float | None = None) -> int:
    """Run a row again: its script, or the checks of its adapter's subjects; return the exit code.

    seconds: for the checks of one sampler. Defaults to None: those of the effort.
    """
    if "script" in row:
        script = _ROOT / "examples" / "confirmations" / f"{row['script']}.py"
        folder = os.environ.get(row["wheel"] or "")
        if row["wheel"] and not folder:
            raise InputError(f"{row['wheel']} is not set; name the folder of an unpacked {row['package']}")
        return subprocess.call([sys.executable, str(script), *([folder] if folder else [])], cwd=_ROOT)
    from benchmarks.real_samplers import SAMPLERS
    from specsim.testing import check_sampler
    from specsim.validation.conformance.adapters import ADAPTERS, adapter_subjects
    from specsim.validation.conformance.report_text import report_lines

    ADAPTERS.update(SAMPLERS)
    codes = []
    for subject in adapter_subjects(row["adapter"]):
        if row["subjects"] and not any(part in subject.name for part in row["subjects"]):
            continue
        only = row["checks"] or None
        report = check_sampler(subject, effort="quick", only=only, origin=row["adapter"], budget=seconds)
        print("\n".join(report_lines(report)), flush=True)
        codes.append(report.exit_code)
    if not codes:
        raise InputError(f"row {row['id']}: adapter {row['adapter']} has no subject {row['subjects']}")
    return 1 if 1 in codes else max(codes)


def main(arguments: list[str]) -> int:
    """List the rows, run one again, or write the docs."""
    if arguments == ["--write"]:
        text = page(PAGE.read_text(encoding="utf-8"))
        with replacing(PAGE) as part:
            part.write_text(text, encoding="utf-8")
        return 0
    known = {row["id"]: row for row in rows()}
    if not arguments:
        for row in known.values():
            print(f"{row['library']} {row['version']}, {row['what']}: {row['verdict']} ({row['run']})")
            print(f"    pip: {row['package']}    again: {command(row)}")
        return 0
    if arguments[0] not in known:
        unknown("row", arguments[0], list(known))
    seconds = float(arguments[1]) if len(arguments) > 1 else None
    return repeat(known[arguments[0]], seconds)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        sys.exit(f"{error}")
