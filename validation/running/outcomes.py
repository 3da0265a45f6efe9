"""What a validation run found: records for assertions, checks, claims and the whole run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from specsim.support.showing import as_html, rendered
from specsim.validation.claims_model import Claim, Comparison, Verdict

if TYPE_CHECKING:
    from pandas import DataFrame


class Status(StrEnum):
    """How an assertion, a check or a claim came out."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    UNDECIDED = "undecided"
    ERROR = "error"
    NOT_RUN = "not run"


#: The worst first: a claim has the worst status of its checks.
_ORDER = (Status.ERROR, Status.DISAGREES, Status.NOT_RUN, Status.UNDECIDED, Status.AGREES)


def worst_status(statuses: list[Status]) -> Status:
    """Return the worst of some statuses."""
    return min(statuses, key=_ORDER.index)


@dataclass(frozen=True, kw_only=True)
class AssertionOutcome:
    """One statistical assertion, as planned and as found.

    Attributes
    ----------
    label, status
        What, and how it came out. `UNDECIDED`: nothing contradicts it, but the effort's limit on runs did not
        allow the demanded discrepancy to be caught, or a published value to be excluded.
    observed, expected, standard_error, sigma
        Of its worst entry.
    where
        That entry in words, empty for means.
    exact
        The expected value as an exact number, where short.
    p_value, alpha
        A bound of the p-value of the whole assertion, and its share of the budget.
    detectable, wanted, unit
        The discrepancy caught with probability 0.999, the one demanded (None: none), and their unit.
    runs, seed
        Number of runs and seed of the simulation, as in `specsim.simulate`.
    detail, command
        More to say; what repeats the simulation or the run.
    """

    label: str
    status: Status
    observed: float = math.nan
    expected: float = math.nan
    standard_error: float = math.nan
    sigma: float = math.nan
    where: str = ""
    exact: str = ""
    p_value: float = math.nan
    alpha: float = math.nan
    detectable: float = math.nan
    wanted: float | None = None
    unit: str = ""
    runs: int = 0
    seed: int = 0
    detail: str = ""
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class CheckOutcome:
    """One check, as found. Its kind says which of the lists is filled."""

    name: str
    kind: str
    status: Status
    comparisons: tuple[Comparison, ...] = ()
    assertions: tuple[AssertionOutcome, ...] = ()
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class ClaimOutcome:
    """One claim with its checks, as found."""

    claim: Claim
    checks: tuple[CheckOutcome, ...]

    @property
    def counterexamples(self) -> tuple[Comparison, ...]:
        """The comparisons that show the printed statement to be false."""
        return tuple(item for item in self.comparisons if item.counterexample and item.agrees)

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """All exact comparisons."""
        return tuple(item for check in self.checks for item in check.comparisons)

    @property
    def assertions(self) -> tuple[AssertionOutcome, ...]:
        """All statistical assertions."""
        return tuple(item for check in self.checks for item in check.assertions)

    @property
    def established(self) -> Verdict | None:
        """The verdict that the checks establish; None when they do not establish any."""
        if self.checks_status in (Status.AGREES, Status.UNDECIDED):
            if not self.counterexamples:
                return Verdict.HOLDS
            return Verdict.CONDITION if self.claim.condition else Verdict.FAILS
        return None

    @property
    def checks_status(self) -> Status:
        """The worst status of the checks."""
        return worst_status([check.status for check in self.checks])

    @property
    def status(self) -> Status:
        """Whether the verdict expected was established."""
        status = self.checks_status
        if status in (Status.AGREES, Status.UNDECIDED) and self.established is not self.claim.verdict:
            return Status.DISAGREES
        return status

    @property
    def reason(self) -> str:
        """Why the claim is not established although its checks pass; empty otherwise."""
        if self.checks_status in (Status.AGREES, Status.UNDECIDED) and self.status is Status.DISAGREES:
            return (
                f"all checks pass, which establishes {str(self.established)!r}, "
                f"not the verdict expected, {self.claim.verdict.value!r}"
            )
        return ""


@dataclass(frozen=True, kw_only=True, repr=False)
class RunReport:
    """Everything that a validation run found; print it for what ``specsim validate`` prints.

    Attributes
    ----------
    claims
        In the order of the registry.
    effort, seed, alpha
        As asked for.
    planned
        Number of statistical assertions planned before anything was simulated (None: planning was
        interrupted).
    alpha_each
        The share of the false-alarm budget that each of them was tested at.
    simulations, runs
        Number of different simulations, and of runs in all of them.
    interrupted
        Whether the run was stopped before its end.
    notes
        What a reader should know, such as stored files that had to be recomputed.
    provenance
        Versions, platform, source hash, command.
    witnesses
        ``"as built"`` or the name of a mutant.
    """

    claims: tuple[ClaimOutcome, ...]
    effort: str
    seed: int
    alpha: float
    planned: int | None
    alpha_each: float
    simulations: int
    runs: int
    interrupted: bool = False
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    witnesses: str = "as built"

    @property
    def status(self) -> Status:
        """The worst status of the claims."""
        return worst_status([claim.status for claim in self.claims]) if self.claims else Status.AGREES

    @property
    def exit_code(self) -> int:
        """0 agrees, 1 disagrees, 3 could not decide, 130 interrupted."""
        if self.interrupted:
            return 130
        return {Status.AGREES: 0, Status.UNDECIDED: 3, Status.NOT_RUN: 3}.get(self.status, 1)

    def __str__(self) -> str:
        from specsim.validation.reports.table import report_renderables

        return rendered(*report_renderables(self)).rstrip("\n")

    def _repr_html_(self) -> str:
        from specsim.validation.reports.words import conclusion, preface, summary_lines

        notes = [*preface(self), *summary_lines(self), *(f"note: {note}" for note in self.notes)]
        return as_html(f"Result: {conclusion(self)}", self.to_dataframe(), *notes)

    def __repr__(self) -> str:
        return f"<RunReport of {len(self.claims)} claims, effort {self.effort}: {self.status.value}>"

    def to_dataframe(self) -> DataFrame:
        """Return a row for each claim.

        Columns: its id (``claim``), ``title`` and ``status``; the ``verdict`` that was expected; how many
        ``exact`` and how many ``simulated`` comparisons were made; the ``p_value`` of all of these together.
        """
        import pandas

        from specsim.validation.reports.words import least_p_value

        rows = [
            {
                "claim": item.claim.id,
                "title": item.claim.title,
                "status": item.status.value,
                "verdict": item.claim.verdict.value,
                "exact": len(item.comparisons),
                "simulated": len(item.assertions),
                "p_value": least_p_value(item.assertions),
            }
            for item in self.claims
        ]
        return pandas.DataFrame(rows)

    def with_status(self, status: Status) -> list[ClaimOutcome]:
        """Return the claims that came out so."""
        return [claim for claim in self.claims if claim.status is status]
