"""The report in lines of text, for people and for error messages."""

import math

from specsim.validation.conformance.results import (
    CheckResult,
    CheckStatus,
    ConformanceReport,
    Suspect,
    Verdict,
)

#: One sign for each status.
SIGNS = {
    CheckStatus.PASSED: "✓",
    CheckStatus.FAILED: "✗",
    CheckStatus.UNDECIDED: "?",
    CheckStatus.SKIPPED: "·",
    CheckStatus.ERROR: "!",
    CheckStatus.EXPECTED_FAILURE: "x",
    CheckStatus.UNEXPECTED_PASS: "✗",
}

#: Number of failures that are reported in full.
FULL_REPORTS = 3

_BAD = (CheckStatus.FAILED, CheckStatus.ERROR, CheckStatus.UNEXPECTED_PASS)


def report_lines(report: ConformanceReport) -> list[str]:
    """Return the verdict, every check that did not pass with its evidence, and the diagnosis."""
    lines = [f"{report.subject.name}: {report.sentence}"]
    reported = 0
    for check in report.checks:
        if check.status in _BAD or check.status is CheckStatus.UNDECIDED:
            whole = check_lines(check)
            # One cause shows in many checks: only the first are reported in full.
            lines.extend(whole if reported < FULL_REPORTS or check.kind == "contract" else _short(whole))
            reported += 1
    if report.suspects and report.verdict in (Verdict.BIASED, Verdict.OTHER_RULE):
        lines.append(
            "the outcomes of the main experiment look like (powers of ten against what was expected):"
        )
        lines.extend(f"  {suspect_line(suspect)}" for suspect in report.suspects)
    if report.reached:
        lines.append(reached_line(report))
    lines.append(settings_line(report))
    return lines


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
    if check.looks_like:
        lines.append(f"    looks like {'; '.join(check.looks_like)}")
    if check.command:
        lines.append(f"    again: {check.command}")
    return lines


def suspect_line(suspect: Suspect) -> str:
    """Return a known law and how it fits, in one line."""
    kind = "lossless rule" if suspect.lossless else "known bug or lossy rule"
    fits = "agrees with the data" if suspect.fits else "does not agree either"
    ratio = "infinite" if math.isinf(suspect.log10_ratio) else power_of_ten(suspect.log10_ratio)
    head = f"{ratio:>9} {suspect.name} ({kind}; {fits})"
    return f"{head}: {suspect.title} [{suspect.source}]"


def settings_line(report: ConformanceReport) -> str:
    """Return how the error rates were set."""
    return (
        f"false alarms at most {report.alpha:g} over all checks, whenever they stop; "
        f"certificate at confidence {1 - report.delta:g}; "
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
}


def reached_line(report: ConformanceReport) -> str:
    """Return the sizes on which the verdict was reached."""
    spelled = (
        f"{least:,} to {most:,} {SIZES[name]}" if least < most else f"{most:,} {SIZES[name]}"
        for name, (least, most) in sorted(report.reached.items(), key=lambda item: list(SIZES).index(item[0]))
    )
    return f"sizes reached: {', '.join(spelled)}"


def power_of_ten(exponent: float) -> str:
    """Spell 10 to this power."""
    if math.isnan(exponent):
        return ""
    if math.isinf(exponent):
        return "impossible" if exponent > 0 else "0"
    return f"10^{exponent:.1f}"
