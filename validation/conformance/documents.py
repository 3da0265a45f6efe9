"""Results as documents of JSON's types, and back: for files, and for the process that runs a subject."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from specsim.validation.conformance.results import (
    CheckResult,
    CheckStatus,
    ConformanceReport,
    Deviation,
    Diagnosis,
    Picture,
    Script,
    Suspect,
)
from specsim.validation.conformance.rules.base import Rule, no_law
from specsim.validation.conformance.subjects import Subject

_REPORT = ("alpha", "eps", "delta", "effort", "seed", "seconds", "interrupted", "partial")
_NUMBERS = ("log10_e", "log10_threshold", "catches", "certified")


def check_document(check: CheckResult) -> dict[str, Any]:
    """Return the result of a check; numbers that are not finite stay."""
    return {**dataclasses.asdict(check), "status": check.status.value}


def check_of(document: Mapping[str, Any]) -> CheckResult:
    """Return what `check_document` was given; None stands for numbers that were not finite."""
    fields = dict(document)
    fields["status"] = CheckStatus(fields["status"])
    for name in _NUMBERS:
        fields[name] = math.nan if fields.get(name) is None else fields[name]
    fields["deviations"] = tuple(Deviation(**item) for item in fields.get("deviations", ()))
    # Evidence is never below all numbers, so that what was not finite was infinite.
    fields["looks"] = tuple(
        (samples, math.inf if evidence is None else evidence) for samples, evidence in fields.get("looks", ())
    )
    fields["reached"] = {name: (least, most) for name, (least, most) in fields.get("reached", {}).items()}
    fields["looks_like"] = tuple(fields.get("looks_like", ()))
    if fields.get("picture") is not None:
        picture = fields["picture"]
        lists = {name: tuple(picture[name]) for name in ("cells", "observed", "expected")}
        fields["picture"] = Picture(**{**picture, **lists})
    return CheckResult(**fields)


def subject_document(subject: Subject) -> dict[str, Any]:
    """Return what a report says about its subject."""
    rule = subject.rule
    return {
        "name": subject.name,
        "protocol": subject.protocol,
        "notes": subject.notes,
        "rule": None if rule is None else rule.name,
        "lossless_rule": None if rule is None else rule.lossless,
    }


def subject_of(document: Mapping[str, Any]) -> Subject:
    """Return a subject that can be reported on, and not called."""
    rule = None
    if document["rule"] is not None:
        rule = Rule(
            name=document["rule"],
            title="",
            source="",
            lossless=document["lossless_rule"],
            law=_not_here,
            tree_law=_not_here,
        )
    return Subject(
        name=document["name"],
        protocol=document["protocol"],
        run=_not_here,
        rule=rule,
        notes=document["notes"],
    )


def _not_here(*arguments: Any, **options: Any) -> Any:
    no_law(*arguments)


def report_document(report: ConformanceReport) -> dict[str, Any]:
    """Return a report; numbers that are not finite stay."""
    return {
        **subject_document(report.subject),
        "verdict": report.verdict.value,
        "exit_code": report.exit_code,
        "sentence": report.sentence,
        "certified_total_variation": report.certified,
        **{name: getattr(report, name) for name in _REPORT},
        "reached": {name: list(sizes) for name, sizes in report.reached.items()},
        "diagnosis": None if report.diagnosis is None else dataclasses.asdict(report.diagnosis),
        "script": None if report.script is None else dataclasses.asdict(report.script),
        "checks": [check_document(check) for check in report.checks],
        "suspects": [dataclasses.asdict(suspect) for suspect in report.suspects],
    }


def report_of(document: Mapping[str, Any]) -> ConformanceReport:
    """Return what `report_document` was given, with a subject that cannot be called."""
    diagnosis, script = document["diagnosis"], document["script"]
    if diagnosis is not None:
        diagnosis = Diagnosis(**{**diagnosis, "explains": tuple(diagnosis["explains"])})
    return ConformanceReport(
        subject=subject_of(document),
        checks=tuple(check_of(item) for item in document["checks"]),
        reached={name: (sizes[0], sizes[1]) for name, sizes in document["reached"].items()},
        suspects=tuple(Suspect(**item) for item in document["suspects"]),
        diagnosis=diagnosis,
        script=None if script is None else Script(**script),
        **{name: document[name] for name in _REPORT},
    )
