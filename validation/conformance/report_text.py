"""The report in lines of text, for people and for error messages."""

import math
from collections.abc import Sequence

from specsim.validation.conformance.results import (
    CheckResult,
    CheckStatus,
    ConformanceReport,
    Diagnosis,
)

#: One sign for each status.
SIGNS = {
    CheckStatus.PASSED: "✓",
    CheckStatus.FAILED: "✗",
    CheckStatus.UNDECIDED: "?",
    CheckStatus.SKIPPED: "·",
    CheckStatus.BROKEN: "!",
    CheckStatus.EXPECTED_FAILURE: "x",
    CheckStatus.UNEXPECTED_PASS: "✗",
}

#: Headings of the table of checks.
HEADINGS = ("", "check", "kind", "observations", "evidence", "catches TV", "certified TV", "s")
#: What the headings mean.
LEGEND = (
    "observations: verifications looked at. evidence: against the sampler; a correct one reaches 10^7 with "
    "probability at most 10^-7. catches TV: the smallest total variation distance that is found with "
    "probability 0.999. certified TV: the output is at most this far from the correct one."
)

#: Number of failures that are reported in full, of those that do not follow from another one.
FULL_REPORTS = 3


def report_lines(report: ConformanceReport) -> list[str]:
    """Return all there is to say: what is most likely wrong first, passed checks not at all."""
    return [*head_lines(report), *body_lines(report)]


def head_lines(report: ConformanceReport) -> list[str]:
    """Return what is most likely wrong, what to change, and the verdict."""
    lines = []
    if report.diagnosis is not None:
        lines += diagnosis_lines(report.diagnosis)
    return [*lines, f"{report.subject.name}: {report.sentence}"]


def diagnosis_lines(diagnosis: Diagnosis) -> list[str]:
    """Return a diagnosis in one or two lines."""
    known = f" (known bug {diagnosis.known}; {diagnosis.source})" if diagnosis.known else ""
    lines = [f"most likely: {diagnosis.cause}{known}"]
    return [*lines, f"what to change: {diagnosis.change}"] if diagnosis.change else lines


def body_lines(report: ConformanceReport) -> list[str]:
    """Return the evidence: failures with their cells, what follows from them by name, how to repeat."""
    lines: list[str] = []
    first, follow = folded(report)
    for number, check in enumerate(first):
        whole = check_lines(check)
        if check.status is CheckStatus.BROKEN and report.diagnosis is not None and number == 0:
            # The diagnosis has said it.
            whole = [line for line in whole if check.reason not in line]
        lines.extend(whole if number < FULL_REPORTS or check.kind == "contract" else _short(whole))
    if follow:
        lines.append(f"also failed, as a consequence: {', '.join(check.name for check in follow)}")
    undecided = report.with_status(CheckStatus.UNDECIDED)
    if report.failed and undecided:
        lines.append(f"undecided: {', '.join(check.name for check in undecided)}")
    for check in () if report.failed else undecided:
        lines.extend(check_lines(check))
    agreeing = [
        s for s in report.suspects if s.fits and report.diagnosis and s.name != report.diagnosis.known
    ]
    if agreeing and report.diagnosis is not None and report.diagnosis.known:
        lines.append(f"the data also agree with {', '.join(s.name for s in agreeing)}")
    if report.script is None and any(check.command for check in report.failed):
        lines.append("no script: no smaller failure was found that one could show without specsim")
    if report.script is not None:
        lines.append(f"a script that shows it, without specsim ({report.script.sizes}):")
        lines.extend(f"    {line}" for line in report.script.text.splitlines())
    if report.reached:
        lines.append(reached_line(report))
    lines.append(settings_line(report))
    return lines


def check_rows(report: ConformanceReport) -> list[tuple[str, ...]]:
    """Return the cells of every check that was run, under `HEADINGS`, by interest."""
    return [
        (
            SIGNS[check.status],
            check.name,
            check.kind,
            f"{check.samples:,}" if check.samples else "",
            power_of_ten(check.log10_e),
            "" if math.isnan(check.catches) else f"{check.catches:.3f}",
            "" if math.isnan(check.certified) else f"{check.certified:.4f}",
            f"{check.seconds:.1f}",
        )
        for check in by_interest(report.checks)
        if check.status is not CheckStatus.SKIPPED
    ]


def folded(report: ConformanceReport) -> tuple[list[CheckResult], list[CheckResult]]:
    """Return the failed checks that are shown in full, and those that follow from the first of them."""
    explained = report.diagnosis.explains if report.diagnosis is not None else ()
    # What breaks has a cause of its own, unless the diagnosis begins with it.
    follow = [
        check
        for check in report.failed
        if check.name in explained[:1] or (check.name in explained and check.status is not CheckStatus.BROKEN)
    ]
    # The first is what the diagnosis begins with.
    follow.sort(key=lambda check: (check.name != explained[0], check.samples))
    others = [check for check in report.failed if check not in follow]
    return [*follow[:1], *others], follow[1:]


def by_interest(checks: Sequence[CheckResult]) -> list[CheckResult]:
    """Return failures first, then undecided, passed and skipped checks; otherwise in their order."""
    return sorted(checks, key=lambda check: _INTEREST.get(check.status, 2))


_INTEREST = {
    CheckStatus.BROKEN: 0,
    CheckStatus.FAILED: 0,
    CheckStatus.UNEXPECTED_PASS: 0,
    CheckStatus.UNDECIDED: 1,
    CheckStatus.SKIPPED: 3,
}


def _short(lines: list[str]) -> list[str]:
    return [line for line in lines if ": observed " not in line]


def check_lines(check: CheckResult) -> list[str]:
    """Return all there is to say about one check."""
    lines = [f"{SIGNS[check.status]} {check.name}: {check.title}: {check.status.value}"]
    if check.reason:
        lines.append(f"    {check.reason}")
    if not math.isnan(check.log10_e):
        lines.append(
            f"    evidence {power_of_ten(check.log10_e)} after {check.samples:,} observations; "
            f"rejects at {power_of_ten(check.log10_threshold)}"
        )
    for deviation in check.deviations:
        lines.append(
            f"    {deviation.where}: observed {deviation.observed:,} of {deviation.samples:,} = "
            f"{deviation.frequency:.5f} [{deviation.low:.5f}, {deviation.high:.5f}], "
            f"expected {deviation.expected:.5f}"
        )
    if check.command:
        lines.append(f"    again: {check.command}")
    return lines


def settings_line(report: ConformanceReport) -> str:
    """Return how the error rates were set."""
    return (
        f"probability of a false alarm: at most {report.alpha:g} over all checks; "
        f"confidence of the certificate: {1 - report.delta:g}; "
        f"effort {report.effort}, seed {report.seed}, {report.seconds:.1f} s"
    )


#: How the sizes of calls are spelled.
SIZES = {
    "rows": "rows in a call",
    "drafts": "drafted tokens",
    "vocabulary": "tokens in the vocabulary",
    "prompt": "tokens in a prompt",
    "text": "tokens written",
    "depth": "levels of a tree",
    "nodes": "drafted tokens in a tree",
    "children": "children of one node",
}


def reached_line(report: ConformanceReport) -> str:
    """Return the sizes on which the verdict was reached."""
    spelled = (
        f"{least:,} to {most:,} {SIZES[name]}" if least < most else f"{most:,} {SIZES[name]}"
        for name, (least, most) in sorted(report.reached.items(), key=lambda item: list(SIZES).index(item[0]))
    )
    return f"sizes tried: {', '.join(spelled)}"


def power_of_ten(exponent: float) -> str:
    """Spell 10 to this power."""
    if math.isnan(exponent):
        return ""
    if math.isinf(exponent):
        return "impossible" if exponent > 0 else "0"
    return f"10^{exponent:.1f}"
