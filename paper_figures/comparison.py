"""Rows of 'plotted against paper': a quantity of the paper, ours beside it, and what follows."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

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


def row(
    quantity: str,
    reference: float,
    ours: float,
    source: str,
    verdict: str,
    *,
    passed: bool = True,
    required: bool = True,
    sigma: float | None = None,
) -> Row:
    """Return a row; its difference is `sigma` standard errors, or by default absolute."""
    return Row(
        quantity=quantity,
        reference=reference,
        source=source,
        ours=ours,
        difference=ours - reference if sigma is None else sigma,
        unit="absolute" if sigma is None else "sigma",
        verdict=verdict,
        required=required,
        passed=passed,
    )


def against_paper(
    quantity: str, paper: PaperValue, ours: float, *, agrees: str = "agrees", slack: float = 0.0
) -> Row:
    """Return the row that compares an exact number with the paper's, to its precision plus `slack`."""
    passed = abs(ours - paper.value) <= paper.precision + slack + 1e-12
    return row(quantity, paper.value, ours, cited(paper), agrees if passed else "DIFFERS", passed=passed)


def erratum(quantity: str, paper: PaperValue, ours: float, verdict: str) -> Row:
    """Return the row that demands that the paper's number is *not* ours, beyond its precision."""
    passed = abs(ours - paper.value) > paper.precision
    words = verdict if passed else "erratum NOT confirmed"
    return row(quantity, paper.value, ours, cited(paper), words, passed=passed)


def remark(quantity: str, paper: PaperValue, ours: float, verdict: str) -> Row:
    """Return a row that demands nothing."""
    return row(quantity, paper.value, ours, cited(paper), verdict, required=False)


def exact(quantity: str, reference: float, ours: float, source: str) -> Row:
    """Return the row that demands that two exact numbers are equal up to float rounding."""
    passed = abs(ours - reference) <= 1e-9
    return row(quantity, reference, ours, source, "equal" if passed else "NOT equal", passed=passed)


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
    return row(
        quantity,
        expected,
        total / runs,
        source,
        f"met, {runs:,} runs" if decision.agrees else "NOT met",
        passed=bool(decision.agrees),
        sigma=_sigma(total / runs - expected, variance, runs),
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
    return row(
        quantity,
        paper.value,
        total / runs,
        cited(paper),
        verdict if refuted else ("NOT refuted" if clear else "too few runs to tell"),
        passed=refuted or not clear,
        required=clear,
        sigma=_sigma(total / runs - paper.value, variance, runs),
    )


def worst_point(quantity: str, counts: Any, runs: int, probabilities: Any, source: str) -> Row:
    """Return the row that demands that counts of single steps have their probabilities, by the worst of them.

    The test is by exact binomial tails, level `ALPHA` for all of them together.
    """
    from specsim.validation.statistics import decide_probability_by_binomial_tails

    worst = decide_probability_by_binomial_tails(
        count=counts, runs=runs, probability=np.clip(probabilities, 0.0, 1.0), alpha=ALPHA
    )
    error, apart = float(worst.standard_error), float(worst.observed) - float(worst.expected)
    return row(
        quantity,
        float(worst.expected),
        float(worst.observed),
        source,
        f"met, {runs:,} steps" if worst.agrees else "NOT met",
        passed=bool(worst.agrees),
        sigma=apart / error if error > 0 else 0.0,
    )


def cited(paper: PaperValue) -> str:
    """Return place and provenance of a number of the paper, in few words."""
    return f"{paper.where} ({paper.provenance.split()[0]})"


def _sigma(difference: float, variance: float, runs: int) -> float:
    error = math.sqrt(max(variance, 0.0) / runs)
    if error == 0:
        return 0.0 if abs(difference) < 1e-12 else math.copysign(math.inf, difference)
    return difference / error
