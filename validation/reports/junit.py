"""The report for continuous integration: JUnit XML, a suite for each claim and a case for each check."""

import re
from xml.etree import ElementTree

from specsim.validation.reports.words import failures
from specsim.validation.running.outcomes import CheckOutcome, ClaimOutcome, RunReport, Status

# What XML 1.0 cannot hold at all.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def report_junit(report: RunReport) -> str:
    """Return the report as JUnit XML text."""
    root = ElementTree.Element("testsuites", name="specsim validate")
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for claim in report.claims:
        counts = _suite(root, claim)
        for key, value in counts.items():
            totals[key] += value
    for key, value in totals.items():
        root.set(key, str(value))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(root: ElementTree.Element, claim: ClaimOutcome) -> dict[str, int]:
    suite = ElementTree.SubElement(root, "testsuite", name=claim.claim.id)
    why = {heading: "\n".join(lines) for heading, lines in failures(claim)}
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for check in claim.checks:
        case = ElementTree.SubElement(suite, "testcase", classname=claim.claim.id, name=_clean(check.name))
        counts["tests"] += 1
        _result(case, check, why.get(f"{check.name} ({check.kind}): {check.status.value}", ""), counts)
    if claim.reason:
        case = ElementTree.SubElement(suite, "testcase", classname=claim.claim.id, name="verdict")
        counts["tests"] += 1
        counts["failures"] += 1
        ElementTree.SubElement(case, "failure", message=_clean(claim.reason))
    for key, value in counts.items():
        suite.set(key, str(value))
    return counts


def _result(case: ElementTree.Element, check: CheckOutcome, text: str, counts: dict[str, int]) -> None:
    if check.status is Status.AGREES:
        return
    if check.status is Status.NOT_RUN:
        counts["skipped"] += 1
        ElementTree.SubElement(case, "skipped", message="not run")
        return
    if check.status is Status.UNDECIDED:
        counts["skipped"] += 1
        ElementTree.SubElement(case, "skipped", message="undecided: more runs needed than the effort allows")
        return
    kind = "error" if check.status is Status.ERROR else "failure"
    counts[f"{kind}s"] += 1
    first = text.splitlines()[0] if text else check.status.value
    ElementTree.SubElement(case, kind, message=_clean(first)).text = _clean(text)


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("?", text)
