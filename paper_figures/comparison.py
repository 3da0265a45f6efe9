"""Rows of 'plotted against paper': a quantity of the paper, ours beside it, and what follows."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from specsim.paper_figures.paper_values import PaperValue

#: Level of each statistical row: a bound of the probability that a right program fails the row.
ALPHA = 1e-9
#: A miss is demanded where it is expected to be at least this many standard errors wide.
CLEAR_MISS = 12.0

Unit = Literal["sigma", "absolute"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a comparison.

    Attributes
    ----------
    quantity
        What is compared.
    reference
        The number to compare with: the paper's, or an exact one.
    source
        Where that number comes from.
    ours
        Our number; NaN where there is none.
    difference
        `ours` minus `reference`, in `unit`.
    unit
        ``"sigma"``: in standard errors of the simulation; ``"absolute"``.
    verdict
        What follows, in words.
    required
        Whether the figures as a whole fail when this row does.
    passed
        Whether what was demanded holds; True where nothing is.

    Examples
    --------
    >>> from specsim.paper_figures import Row
    >>> row = Row(
    ...     quantity="rejections", reference=16.4, source="Figure 2a", ours=16.4, difference=0.0,
    ...     unit="absolute", verdict="agrees", required=True, passed=True,
    ... )
    >>> row.record()["verdict"]
    'agrees'
    """

    quantity: str
    reference: float
    source: str
    ours: float
    difference: float
    unit: Unit
    verdict: str
    required: bool
    passed: bool

    def record(self) -> dict[str, Any]:
        """Return the row as JSON-ready values; NaN becomes None."""
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(self).items()
        }


def against_paper(
    quantity: str,
    paper: PaperValue,
    ours: float,
    *,
    agrees: str = "agrees",
    differs: str = "DIFFERS",
    required: bool = True,
    slack: float = 0.0,
) -> Row:
    """Return the row that compares an exact number of ours with the paper's, to its precision.

    quantity, paper, ours, required: as in `Row`.
    agrees, differs: the verdicts.
    slack: added to the paper's precision.
    """
    difference = ours - paper.value
    passed = abs(difference) <= paper.precision + slack + 1e-12
    return Row(
        quantity=quantity,
        reference=paper.value,
        source=cited(paper),
        ours=ours,
        difference=difference,
        unit="absolute",
        verdict=agrees if passed else differs,
        required=required,
        passed=passed,
    )


def erratum(quantity: str, paper: PaperValue, ours: float, verdict: str) -> Row:
    """Return the row that demands that the paper's number is *not* ours, beyond its precision."""
    difference = ours - paper.value
    passed = abs(difference) > paper.precision
    return Row(
        quantity=quantity,
        reference=paper.value,
        source=cited(paper),
        ours=ours,
        difference=difference,
        unit="absolute",
        verdict=verdict if passed else "erratum NOT confirmed",
        required=True,
        passed=passed,
    )


def remark(quantity: str, paper: PaperValue, ours: float, verdict: str) -> Row:
    """Return a row that demands nothing."""
    return Row(
        quantity=quantity,
        reference=paper.value,
        source=cited(paper),
        ours=ours,
        difference=ours - paper.value,
        unit="absolute",
        verdict=verdict,
        required=False,
        passed=True,
    )


def exact(quantity: str, reference: float, ours: float, source: str, *, tolerance: float = 1e-9) -> Row:
    """Return the row that demands that two exact numbers are equal up to float rounding."""
    passed = abs(ours - reference) <= tolerance
    return Row(
        quantity=quantity,
        reference=reference,
        source=source,
        ours=ours,
        difference=ours - reference,
        unit="absolute",
        verdict="equal" if passed else "NOT equal",
        required=True,
        passed=passed,
    )


def simulation_meets(
    quantity: str,
    *,
    total: int,
    runs: int,
    expected: float,
    variance: float,
    high: float,
    low: float = 0.0,
    source: str = "exact",
) -> Row:
    """Return the row that demands that a simulated mean agrees with its exact expectation.

    The test is Bennett's bound with the exact variance, level `ALPHA`.

    quantity, source: as in `Row`.
    total, runs: sum of the observations and their number.
    expected, variance, low, high: exact mean, variance and range of one observation.
    """
    from specsim.validation.statistics import decide_mean_by_bennett

    decision = decide_mean_by_bennett(
        total=total, runs=runs, mean=expected, variance=variance, low=low, high=high, alpha=ALPHA
    )
    return Row(
        quantity=quantity,
        reference=expected,
        source=source,
        ours=total / runs,
        difference=_sigma(total / runs - expected, variance, runs),
        unit="sigma",
        verdict=f"met, {runs:,} runs" if decision.agrees else "NOT met",
        required=True,
        passed=bool(decision.agrees),
    )


def simulation_misses(
    quantity: str,
    paper: PaperValue,
    *,
    total: int,
    runs: int,
    expected: float,
    variance: float,
    high: float,
    verdict: str,
) -> Row:
    """Return the row that demands that a simulated mean refutes a number of the paper.

    Demanded only where the exact expectation is at least `CLEAR_MISS` standard errors away from that number.

    quantity: as in `Row`.
    paper: the number to be refuted; its precision counts in its favour.
    total, runs, expected, variance, high: as in `simulation_meets`; the range starts at 0.
    verdict: said when it is refuted.
    """
    from specsim.validation.statistics import decide_mean_by_bennett

    nearest = paper.value + math.copysign(paper.precision, expected - paper.value)
    decision = decide_mean_by_bennett(
        total=total, runs=runs, mean=nearest, variance=variance, low=0.0, high=high, alpha=ALPHA
    )
    clear = abs(expected - nearest) >= CLEAR_MISS * math.sqrt(variance / runs)
    refuted = not decision.agrees
    return Row(
        quantity=quantity,
        reference=paper.value,
        source=cited(paper),
        ours=total / runs,
        difference=_sigma(total / runs - paper.value, variance, runs),
        unit="sigma",
        verdict=verdict if refuted else ("NOT refuted" if clear else "too few runs to tell"),
        required=clear,
        passed=refuted or not clear,
    )


def cited(paper: PaperValue) -> str:
    """Return place and provenance of a number of the paper, in few words."""
    return f"{paper.where} ({paper.provenance.split()[0]})"


def _sigma(difference: float, variance: float, runs: int) -> float:
    error = math.sqrt(max(variance, 0.0) / runs)
    if error == 0:
        return 0.0 if abs(difference) < 1e-12 else math.copysign(math.inf, difference)
    return difference / error
