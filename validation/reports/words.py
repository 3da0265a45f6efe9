"""Numbers and words that all reports share."""

import math
from collections.abc import Iterable

from specsim.validation.claims_model import Verdict
from specsim.validation.running.outcomes import AssertionOutcome, ClaimOutcome, RunReport, Status

#: How the units of discrepancies are abbreviated.
UNITS = {"total variation": "TV", "probability": "p", "per run": "mean"}

#: Number of failures of one check that are reported in full.
MOST_FAILURES = 6

#: One sign for each status.
SIGNS = {
    Status.AGREES: "✓",
    Status.DISAGREES: "✗",
    Status.UNDECIDED: "?",
    Status.ERROR: "!",
    Status.NOT_RUN: "·",
}


def number(value: float, digits: int = 4) -> str:
    """Spell a float with a number of significant digits."""
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return f"{value:.{digits}g}"


def compact(value: int) -> str:
    """Spell a count in a few characters."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= 10 * size or (value >= size and size > 10**3):
            return f"{value / size:.3g}{letter}"
    return str(value)


def sigma_text(value: float) -> str:
    """Spell a distance in standard errors."""
    if math.isnan(value):
        return ""
    if abs(value) >= 999.5:
        return "> 999" if value > 0 else "< -999"
    return f"{value:+.1f}"


def least_p_value(assertions: Iterable[AssertionOutcome]) -> float:
    """Return the smallest p-value times the number of assertions, at most 1; NaN when there is none.

    It bounds the probability that correct code looks so bad in any of them. A distance in standard errors
    says less: in a cell that expects a thousandth of a run, one run is thirty of them away.
    """
    values = [item.p_value for item in assertions if not math.isnan(item.p_value)]
    return min(1.0, min(values) * len(values)) if values else math.nan


def p_value_text(value: float) -> str:
    """Spell a p-value."""
    if math.isnan(value):
        return ""
    return "< 1e-99" if value < 1e-99 else f"{value:.2g}"


def caught(assertions: Iterable[AssertionOutcome]) -> dict[str, float]:
    """Return, for each unit, the discrepancy that every demanding assertion catches.

    With probability 0.999. Where no assertion has a demand, that of the most sensitive one.
    """
    listed = [item for item in assertions if not math.isnan(item.detectable) and item.unit]
    result: dict[str, float] = {}
    for unit in dict.fromkeys(item.unit for item in listed):
        demanded = [item.detectable for item in listed if item.unit == unit and item.wanted is not None]
        free = [item.detectable for item in listed if item.unit == unit]
        result[unit] = max(demanded) if demanded else min(free)
    return result


def caught_text(assertions: Iterable[AssertionOutcome]) -> str:
    """Spell `caught` in a few characters."""
    return ", ".join(f"{UNITS.get(unit, unit)} {value:.2g}" for unit, value in caught(assertions).items())


def distinct_runs(claim: ClaimOutcome) -> int:
    """Return the number of simulated runs that a claim rests on, each simulation counted once."""
    return sum({(item.seed, item.runs): item.runs for item in claim.assertions}.values())


def verdict_text(claim: ClaimOutcome) -> str:
    """Say what was established, or why nothing was."""
    if claim.status in (Status.AGREES, Status.UNDECIDED):
        return claim.claim.verdict.value
    words = {
        Status.DISAGREES: "NOT CONFIRMED",
        Status.ERROR: "ERROR",
        Status.NOT_RUN: "not finished",
    }
    return f"{words[claim.status]} (expected: {claim.claim.verdict.value})"


def preface(report: RunReport) -> list[str]:
    """Say in three sentences what was checked and how to read the result."""
    verdicts = [claim.claim.verdict for claim in report.claims]
    counts = {verdict: verdicts.count(verdict) for verdict in Verdict}
    listed = [
        f"{counts[Verdict.HOLDS]} hold",
        f"{counts[Verdict.CONDITION]} hold under a condition that is not printed",
        f"{counts[Verdict.FAILS]} need a correction",
    ]
    return [
        f"{len(verdicts)} statement{'' if len(verdicts) == 1 else 's'} about speculative decoding, each "
        "checked by exact arithmetic on small instances, by simulation against theory at full size, or both.",
        f"Our findings: {', '.join(listed[:2])}, and {listed[2]}.",
        f"{SIGNS[Status.AGREES]} means that this run confirms our finding. For 'fails as printed', it "
        "confirms the error in the paper.",
    ]


def summary_lines(report: RunReport) -> list[str]:
    """Return the run in a few sentences."""
    count = len(report.claims)
    established = len(report.with_status(Status.AGREES))
    comparisons = sum(len(claim.comparisons) for claim in report.claims)
    lines = [f"{established} of {count} finding{'' if count == 1 else 's'} confirmed."]
    for status, words in (
        (Status.DISAGREES, "contradicted"),
        (Status.ERROR, "stopped by an error"),
        (Status.UNDECIDED, "undecided; a larger --effort is needed"),
        (Status.NOT_RUN, "not finished"),
    ):
        if found := report.with_status(status):
            lines.append(f"{len(found)} {words}: {', '.join(claim.claim.id for claim in found)}.")
    lines.append(f"{comparisons:,} comparisons of exact numbers.")
    if report.planned:
        lines.append(
            f"{report.planned:,} comparisons of {report.simulations} simulations ({report.runs:,} runs) with "
            f"theory, all planned before the simulation. For correct code, the probability that any of them "
            f"fails is at most {report.alpha:g}."
        )
    if report.interrupted:
        lines.append("Interrupted: the results are incomplete.")
    return lines


def conclusion(report: RunReport) -> str:
    """Return the result of the run in one word or two."""
    if report.interrupted:
        return "interrupted"
    return {
        Status.AGREES: "agrees",
        Status.UNDECIDED: "undecided",
        Status.NOT_RUN: "not finished",
    }.get(report.status, "disagrees")


def failures(claim: ClaimOutcome) -> list[tuple[str, list[str]]]:
    """Return, for each check that did not agree, its heading and the lines that say why."""
    found = []
    for check in claim.checks:
        if check.status in (Status.AGREES, Status.NOT_RUN):
            continue
        lines = [check.message] if check.message else []
        wrong = [item for item in check.comparisons if not item.agrees]
        for comparison in wrong[:MOST_FAILURES]:
            sides = f"observed {comparison.observed}, expected {comparison.expected}"
            lines.append(f"{comparison.label}: {sides}")
        if len(wrong) > MOST_FAILURES:
            lines.append(f"and {len(wrong) - MOST_FAILURES} more comparisons (see the JSON report)")
        bad = [item for item in check.assertions if item.status not in (Status.AGREES, Status.NOT_RUN)]
        for item in bad[:MOST_FAILURES]:
            lines.extend(assertion_lines(item))
        if len(bad) > MOST_FAILURES:
            lines.append(f"and {len(bad) - MOST_FAILURES} more comparisons (see the JSON report)")
        found.append((f"{check.name} ({check.kind}): {check.status.value}", lines))
    if claim.reason:
        found.append(("verdict", [claim.reason]))
    return found


def assertion_lines(item: AssertionOutcome) -> list[str]:
    """Say all there is to say about one assertion."""
    lines = [f"{item.label}{', ' + item.where if item.where else ''}: {item.status.value}"]
    if not math.isnan(item.observed):
        exact = f" = {item.exact}" if item.exact else ""
        lines.append(
            f"  observed {number(item.observed, 8)} ± {number(item.standard_error, 3)}, "
            f"expected {number(item.expected, 8)}{exact}: {sigma_text(item.sigma)} sigma, "
            f"p <= {number(item.p_value, 3)}, tested at {number(item.alpha, 3)}"
        )
        wanted = "" if item.wanted is None else f" (required: {number(item.wanted, 3)})"
        lines.append(
            f"  {item.runs:,} runs, seed {item.seed}; "
            f"finds an error of {number(item.detectable, 3)} {item.unit}{wanted}"
        )
    if item.detail:
        lines.append(f"  {item.detail}")
    if item.command:
        lines.append(f"  to repeat: {item.command}")
    return lines
