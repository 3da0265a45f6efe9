"""Reports compared with those of an earlier release, which were written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specsim.errors import InputError
from specsim.support.files import read_file
from specsim.validation.conformance.results import CheckStatus, ConformanceReport

_REMEDY = "give a file that specsim conform --json-file has written"
#: Statuses from good to bad; a change to a worse one is reported, skipped checks separately.
_ORDER = ("passed", "unexpected pass", "undecided", "expected failure", "failed", "broken")


#: What is said of a sampler that is new.
MISSING = "it is not in the baseline, and judged without it"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A report and that of the same subject in the baseline.

    name: of the subject.
    worse, better, other: what changed, one line each; `other` are checks that only one of both ran.
    exit_code: 0 when nothing is worse; else that of what got worse.
    """

    name: str
    worse: tuple[str, ...]
    better: tuple[str, ...]
    other: tuple[str, ...]
    exit_code: int

    @property
    def sentence(self) -> str:
        """What changed, in one line."""
        if self.worse:
            return f"worse than the baseline: {'; '.join(self.worse)}"
        if self.other == (MISSING,):
            return MISSING
        if self.exit_code == 3:
            return "not known to be as good as the baseline: checks that passed did not run"
        better = f"; better: {'; '.join(self.better)}" if self.better else ""
        return f"no worse than the baseline{better}"


def read_baseline(path: Path) -> dict[str, dict[str, Any]]:
    """Return the subjects of a file, by name.

    InputError: it cannot be read, or is something else.
    """
    try:
        document = json.loads(read_file(path, _REMEDY))
        found = {item["name"]: item for item in document["subjects"]}
        for item in found.values():
            _statuses(item)
    except InputError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"baseline {path} is not a report ({type(error).__name__}: {error}); {_REMEDY}"
        ) from None
    return found


def compared(report: ConformanceReport, baseline: Mapping[str, Mapping[str, Any]]) -> Comparison:
    """Return what changed since the baseline; a subject that it lacks is judged on its own."""
    name = report.subject.name
    if name not in baseline:
        return Comparison(name=name, worse=(), better=(), other=(MISSING,), exit_code=report.exit_code)
    before = _statuses(baseline[name])
    after = {check.name: check.status.value for check in report.checks}
    worse, better, other = [], [], []
    code = 0
    for check in dict.fromkeys((*before, *after)):
        old, new = before.get(check, "skipped"), after.get(check, "skipped")
        if old == new:
            continue
        change = f"{check} ({old}, now {new})"
        if "skipped" in (old, new):
            other.append(change)
            if new in ("failed", "broken", "unexpected pass"):
                worse.append(change)
        elif _ORDER.index(new) > _ORDER.index(old):
            worse.append(change)
        else:
            better.append(change)
        if worse and worse[-1] == change:
            code = max(code, {"broken": 4, "undecided": 3}.get(new, 1), key=(0, 3, 4, 1).index)
    lost = [change for change in other if change.endswith("(passed, now skipped)")]
    if lost and not worse:
        # What was certified is no longer looked at: not worse, and not known to be as good.
        code = 3
    return Comparison(name=name, worse=tuple(worse), better=tuple(better), other=tuple(other), exit_code=code)


def comparison_lines(comparisons: Sequence[Comparison]) -> list[str]:
    """Return the comparison of every subject."""
    lines = []
    for item in comparisons:
        lines.append(f"{item.name}: {item.sentence}")
        if item.other and item.other != (MISSING,):
            lines.append(f"    not comparable: {'; '.join(item.other)}")
    return lines


def _statuses(subject: Mapping[str, Any]) -> dict[str, str]:
    return {check["name"]: CheckStatus(check["status"]).value for check in subject["checks"]}
