"""The reports for machines and the page: JSON, JUnit XML, one self-contained HTML page."""

import dataclasses
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from specsim.validation.conformance.documents import report_document
from specsim.validation.conformance.pictures import data_uri, draw
from specsim.validation.conformance.report_text import (
    SIGNS,
    by_interest,
    check_lines,
    diagnosis_lines,
    folded,
    power_of_ten,
    reached_line,
    settings_line,
)
from specsim.validation.conformance.results import CheckResult, CheckStatus, ConformanceReport, Verdict

_TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
# What XML 1.0 cannot hold at all.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: An issue or a pull request, and a paper.
_SOURCE = re.compile(r"\b([\w.-]+/[\w.-]+)#(\d+)\b|\b(\d{4}\.\d{4,5})\b")
_BAD = (CheckStatus.FAILED, CheckStatus.BROKEN, CheckStatus.UNEXPECTED_PASS)


def report_json(reports: Sequence[ConformanceReport]) -> dict[str, Any]:
    """Return the reports as a document of JSON's types (numbers that are not finite are for the caller)."""
    from specsim import __version__

    return {"specsim": __version__, "subjects": [report_document(report) for report in reports]}


def report_junit(reports: Sequence[ConformanceReport]) -> str:
    """Return the reports as JUnit XML: a suite for each subject, a case for each check."""
    root = ElementTree.Element("testsuites", name="specsim conform")
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for report in reports:
        suite = ElementTree.SubElement(root, "testsuite", name=_clean(report.subject.name))
        counts = dict.fromkeys(totals, 0)
        for check in report.checks:
            counts["tests"] += 1
            case = ElementTree.SubElement(
                suite,
                "testcase",
                classname=_clean(report.subject.name),
                name=check.name,
                time=f"{check.seconds:.3f}",
            )
            _junit_result(case, check, counts)
        for key, value in counts.items():
            suite.set(key, str(value))
            totals[key] += value
    for key, value in totals.items():
        root.set(key, str(value))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _junit_result(case: ElementTree.Element, check: CheckResult, counts: dict[str, int]) -> None:
    if check.status is CheckStatus.PASSED:
        return
    if check.status in (CheckStatus.SKIPPED, CheckStatus.UNDECIDED, CheckStatus.EXPECTED_FAILURE):
        counts["skipped"] += 1
        ElementTree.SubElement(case, "skipped", message=_clean(f"{check.status.value}: {check.reason}"))
        return
    kind = "error" if check.status is CheckStatus.BROKEN else "failure"
    counts[f"{kind}s"] += 1
    lines = check_lines(check)
    ElementTree.SubElement(case, kind, message=_clean(lines[0])).text = _clean("\n".join(lines))


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("?", text)


def linked(text: str) -> Any:
    """Return text for a page, with links to issues (``owner/name#1``) and papers (``2211.17192``)."""
    from markupsafe import Markup, escape

    def link(found: re.Match[str]) -> str:
        name, number, paper = found.groups()
        address = f"https://github.com/{name}/issues/{number}" if name else f"https://arxiv.org/abs/{paper}"
        return f'<a href="{address}">{found.group()}</a>'

    # All but the links is escaped.
    return Markup(_SOURCE.sub(link, str(escape(text))))


def report_html(reports: Sequence[ConformanceReport], command: str = "") -> str:
    """Return the reports as the text of a page that needs nothing from anywhere.

    command: what was typed; shown with the versions that ran.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["linked"] = linked
    verdicts = sorted({report.verdict.value for report in reports})
    return environment.get_template("conform.html.jinja").render(
        title=", ".join(verdicts),
        reports=[_page_report(report) for report in reports],
        command=command,
        provenance=_provenance(),
    )


def _provenance() -> str:
    import platform
    from datetime import UTC, datetime

    import numpy as np

    from specsim import __version__

    day = datetime.now(UTC).date().isoformat()
    return (
        f"specsim {__version__}, Python {platform.python_version()}, NumPy {np.__version__},"
        f" {platform.system()} {platform.machine()}, {day}"
    )


def _page_report(report: ConformanceReport) -> dict[str, Any]:
    tone = {Verdict.LOSSLESS: "agrees", Verdict.LOSSY_AS_DECLARED: "agrees", Verdict.UNDECIDED: "undecided"}
    first, follow = folded(report)
    return {
        "name": report.subject.name,
        "protocol": report.subject.protocol,
        "rule": report.subject.rule.name if report.subject.rule else "",
        "notes": report.subject.notes,
        "sentence": report.sentence,
        "tone": tone.get(report.verdict, "disagrees"),
        "settings": f"{settings_line(report)}; {reached_line(report)}",
        "suspects": [
            {
                **dataclasses.asdict(suspect),
                "ratio": "infinite" if math.isinf(suspect.log10_ratio) else power_of_ten(suspect.log10_ratio),
            }
            for suspect in report.suspects
            if suspect.fits and report.failed
        ],
        "diagnosis": [] if report.diagnosis is None else diagnosis_lines(report.diagnosis),
        "script": report.script,
        "follow": ", ".join(check.name for check in follow),
        "checks": [_page_check(check, check in first) for check in by_interest(report.checks)],
    }


def _page_check(check: CheckResult, is_open: bool) -> dict[str, Any]:
    bad = check.status in _BAD
    tone = "agrees" if check.status is CheckStatus.PASSED else "disagrees" if bad else "undecided"
    facts = []
    if check.samples:
        unit = "cases" if math.isnan(check.log10_e) else "observations"
        facts.append(f"{check.samples:,} {unit}")
    if not math.isnan(check.log10_e):
        facts.append(f"evidence {power_of_ten(check.log10_e)}")
    if not math.isnan(check.catches):
        facts.append(f"would find TV {check.catches:.3f}")
    if not math.isnan(check.certified):
        facts.append(f"certified TV {check.certified:.4f}")
    facts.append(f"{check.seconds:.1f} s")
    caption = (
        "" if check.picture is None else f"{check.picture.title}, {check.picture.samples:,} observations"
    )
    return {
        "name": check.name,
        "title": check.title,
        "status": check.status.value,
        "sign": SIGNS[check.status],
        "tone": tone,
        "bad": bad,
        "open": is_open,
        "facts": ", ".join(facts),
        "lines": "\n".join(check_lines(check)[1:]) or check.reason,
        "picture": data_uri(draw(check.picture)) if check.picture is not None else "",
        "caption": caption,
    }
