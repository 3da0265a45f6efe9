"""The report as one HTML page that needs nothing from anywhere."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specsim.validation.reports.words import (
    SIGNS,
    caught_text,
    conclusion,
    distinct_runs,
    failures,
    least_p_value,
    number,
    p_value_text,
    sigma_text,
    summary_lines,
    verdict_text,
)
from specsim.validation.running.kill_matrix import KillMatrix
from specsim.validation.running.outcomes import ClaimOutcome, RunReport

_TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


@dataclass(frozen=True, kw_only=True)
class ReportFigure:
    """A figure for the page.

    name, title, caption: what it is.
    svg: the drawing as SVG text.
    rows: lines of a comparison: quantity, reference, ours, verdict.
    passed: whether the figure came out as it must.
    """

    name: str
    title: str
    caption: str
    svg: str
    rows: tuple[tuple[str, str, str, str], ...] = ()
    passed: bool = True

    @property
    def source(self) -> str:
        """The drawing as a data URI, so that its identifiers stay apart from those of other drawings."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode("utf-8")).decode("ascii")


def report_html(
    report: RunReport,
    *,
    matrix: KillMatrix | None = None,
    figures: Iterable[ReportFigure] = (),
    figure_notes: Iterable[str] = (),
) -> str:
    """Return the report as the text of a self-contained HTML page.

    report: what was found.
    matrix: the kill matrix. Defaults to None: the page has none.
    figures: drawings, embedded.
    figure_notes: what to say about figures that could not be drawn.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, sigma=sigma_text)
    return environment.get_template("report.html.jinja").render(
        report=report,
        result=conclusion(report),
        summary=summary_lines(report),
        claims=[_claim(claim) for claim in report.claims],
        matrix=_matrix(matrix) if matrix is not None else None,
        figures=list(figures),
        figure_notes=list(figure_notes),
    )


def _claim(outcome: ClaimOutcome) -> dict[str, Any]:
    return {
        "id": outcome.claim.id,
        "title": outcome.claim.title,
        "statement": outcome.claim.statement,
        "source": outcome.claim.source,
        "condition": outcome.claim.condition,
        "status": outcome.status.value.replace(" ", "-"),
        "sign": SIGNS[outcome.status],
        "verdict": verdict_text(outcome),
        "kind": outcome.claim.verdict.name.lower(),
        "exact": len(outcome.comparisons),
        "assertions": len(outcome.assertions),
        "runs": distinct_runs(outcome),
        "p_value": p_value_text(least_p_value(outcome.assertions)),
        "catches": caught_text(outcome.assertions),
        "counterexamples": outcome.counterexamples,
        "failures": failures(outcome),
        "checks": outcome.checks,
        "mutants": outcome.claim.mutants,
    }


def _matrix(matrix: KillMatrix) -> dict[str, Any]:
    rows = []
    for mutant in matrix.mutants:
        kills = [kill for kill in matrix.kills if kill.mutant == mutant.name]
        rows.append({
            "mutant": mutant,
            "kills": kills,
            "rejected": bool(kills) and all(kill.killed for kill in kills),
        })  # fmt: skip
    return {
        "rows": rows,
        "complete": matrix.complete,
        "rejected": sum(row["rejected"] for row in rows),
        "count": len(rows),
    }
