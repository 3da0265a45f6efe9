"""The report for machines: JSON."""

import json
import math
from typing import Any

from specsim.validation.reports.words import conclusion, least_p_value
from specsim.validation.running.kill_matrix import KillMatrix
from specsim.validation.running.outcomes import (
    AssertionOutcome,
    CheckOutcome,
    ClaimOutcome,
    RunReport,
    Status,
)

#: Version of the layout of the document.
FORMAT = "specsim-validation-1"


def report_document(report: RunReport, matrix: KillMatrix | None = None) -> dict[str, Any]:
    """Return the report in JSON's types. Numbers that are not finite become None, ``"inf"`` or ``"-inf"``."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "result": conclusion(report),
        "exit_code": report.exit_code,
        "effort": report.effort,
        "seed": report.seed,
        "witnesses": report.witnesses,
        "budget": {
            "false_alarms": report.alpha,
            "assertions": report.planned,
            "each": report.alpha_each,
            "power": 0.999,
            "power_assumes": "for means: a variance of at most twice what theory expects",
        },
        "simulations": report.simulations,
        "runs": report.runs,
        "interrupted": report.interrupted,
        "notes": list(report.notes),
        "provenance": report.provenance,
        "claims": [_claim(claim) for claim in report.claims],
    }
    if matrix is not None:
        document["mutants"] = matrix_document(matrix)
    return document


def report_json(report: RunReport, matrix: KillMatrix | None = None) -> str:
    """Return the report as JSON text."""
    return json.dumps(report_document(report, matrix), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def matrix_document(matrix: KillMatrix) -> dict[str, Any]:
    """Return the kill matrix in JSON's types."""
    return {
        "complete": matrix.complete,
        "unassigned": list(matrix.unassigned),
        "mutants": [
            {"name": mutant.name, "description": mutant.description, "cite": mutant.cite}
            for mutant in matrix.mutants
        ],
        "kills": [
            {
                "mutant": kill.mutant,
                "claim": kill.claim,
                "rejected": kill.killed,
                "status": kill.status.value,
                "evidence": kill.evidence,
            }
            for kill in matrix.kills
        ],
    }


def _claim(outcome: ClaimOutcome) -> dict[str, Any]:
    claim = outcome.claim
    return {
        "id": claim.id,
        "title": claim.title,
        "statement": claim.statement,
        "source": claim.source,
        "condition": claim.condition,
        "expected": claim.verdict.value,
        "established": _established(outcome),
        "status": outcome.status.value,
        "reason": outcome.reason,
        "p_value": finite(least_p_value(outcome.assertions)),
        "counterexamples": [
            {
                "label": item.label,
                "text": item.counterexample,
                "printed": item.expected,
                "exact": item.observed,
            }
            for item in outcome.counterexamples
        ],
        "checks": [_check(check) for check in outcome.checks],
    }


def _established(outcome: ClaimOutcome) -> str | None:
    # Checks that could not decide establish nothing, though nothing contradicts them.
    if outcome.established is None or outcome.checks_status is not Status.AGREES:
        return None
    return outcome.established.value


def _check(check: CheckOutcome) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": check.name,
        "kind": check.kind,
        "status": check.status.value,
        "message": check.message,
    }
    if check.kind == "exact":
        document["compared"] = len(check.comparisons)
        document["comparisons"] = [
            {
                "label": item.label,
                "observed": item.observed,
                "expected": item.expected,
                "agrees": item.agrees,
                **({"counterexample": item.counterexample} if item.counterexample else {}),
            }
            for item in check.comparisons
        ]
    if check.kind == "statistical":
        document["assertions"] = [_assertion(item) for item in check.assertions]
    return document


def _assertion(item: AssertionOutcome) -> dict[str, Any]:
    return {
        "label": item.label,
        "status": item.status.value,
        "where": item.where,
        "observed": finite(item.observed),
        "standard_error": finite(item.standard_error),
        "expected": finite(item.expected),
        "expected_exact": item.exact or None,
        "sigma": finite(item.sigma),
        "p_value": finite(item.p_value),
        "alpha": finite(item.alpha),
        "detectable": finite(item.detectable),
        "demanded": item.wanted,
        "unit": item.unit,
        "runs": item.runs,
        "seed": item.seed,
        "detail": item.detail,
        "command": item.command,
    }


def finite(value: float) -> float | str | None:
    """Return a float as JSON can hold it."""
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return float(value)
