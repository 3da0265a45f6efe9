"""What the oracle found: about one check, and about a subject."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field

from specsim.validation.conformance.subjects import Subject


class CheckStatus(enum.Enum):
    """How one check came out.

    Examples
    --------
    >>> from specsim.testing import CheckStatus
    >>> CheckStatus("passed")
    <CheckStatus.PASSED: 'passed'>
    """

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"
    SKIPPED = "skipped"
    ERROR = "error"
    EXPECTED_FAILURE = "expected failure"
    UNEXPECTED_PASS = "unexpected pass"


class Verdict(enum.Enum):
    """What is said about a subject.

    Examples
    --------
    >>> from specsim.testing import Verdict
    >>> Verdict("biased")
    <Verdict.BIASED: 'biased'>
    """

    LOSSLESS = "lossless"
    LOSSY_AS_DECLARED = "lossy as declared"
    BIASED = "biased"
    OTHER_RULE = "not the declared rule"
    BROKEN = "broken"
    UNDECIDED = "undecided"


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """One cell in which observation and law differ most.

    where: what the cell is, in words.
    observed, samples: the count and the observations of its stratum.
    expected: the law's probability.
    low, high: exact binomial interval of the observed frequency at the check's level.
    gain: logarithm of the largest likelihood of the cell's count over that under the law.
    """

    where: str
    observed: int
    samples: int
    expected: float
    low: float
    high: float
    gain: float = 0.0

    @property
    def frequency(self) -> float:
        """Observed frequency."""
        return self.observed / self.samples if self.samples else math.nan


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A known law compared with the data.

    name, title, source: of the rule.
    lossless: whether it is lossless.
    log10_ratio: how much likelier the data are under it than under the law expected, in powers of ten.
    fits: whether the data agree with it.
    """

    name: str
    title: str
    source: str
    lossless: bool
    log10_ratio: float
    fits: bool


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Observed law against expected law, for a plot; at most a few hundred cells.

    title, cells: what is shown, and a name for each cell.
    observed, expected: frequencies and probabilities.
    samples: observations.
    """

    title: str
    cells: tuple[str, ...]
    observed: tuple[float, ...]
    expected: tuple[float, ...]
    samples: int


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """How one check came out.

    Attributes
    ----------
    name, title
        The check.
    kind
        ``"contract"`` (exact), ``"output"`` (the law of emitted tokens) or ``"rule"`` (the declared rule).
    status
        Outcome.
    reason
        Why it was skipped, failed, or stopped; one line.
    samples, planned
        Observations made, and observations after which it passes when nothing speaks against it.
    log10_e
        Evidence against the subject, in powers of ten; `log10_threshold` rejects.
    catches
        Average total variation distance that the planned observations catch with probability 0.999, stated
        before sampling; NaN for exact checks.
    certified
        Upper bound of the law's distance from the one expected, at the report's confidence; NaN for none.
    calls, rows, seconds
        Calls of the subject for this check alone, their rows together, and time spent.
    deviations, suspects, looks_like, picture
        Where it failed: the worst cells, known laws by likelihood, the best alternatives of the check itself,
        and a picture of the laws.
    command
        Reproduces it; empty when the subject has no name on the command line.

    Examples
    --------
    >>> from specsim.testing import checks_for
    >>> check = next(checks_for(lambda target, draft, drafted, seed: None, effort="quick"))
    >>> check.run().status.value
    'failed'
    """

    name: str
    title: str
    kind: str
    status: CheckStatus
    reason: str = ""
    samples: int = 0
    planned: int = 0
    log10_e: float = math.nan
    log10_threshold: float = math.nan
    catches: float = math.nan
    certified: float = math.nan
    calls: int = 0
    rows: int = 0
    seconds: float = 0.0
    deviations: tuple[Deviation, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    looks_like: tuple[str, ...] = ()
    picture: Picture | None = None
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class ConformanceReport:
    """All that was found about one subject.

    Attributes
    ----------
    subject
        What was tested.
    checks
        One result per check, in the order they ran.
    alpha
        Probability that a right sampler fails any check, at most.
    eps, delta
        The total variation distance to certify, and the probability that the certificate is wrong.
    effort, seed
        As given.
    seconds
        Of everything.
    interrupted
        Whether it was stopped by Ctrl-C.
    reached
        Least and most of every size that the subject was called with, by name.

    Examples
    --------
    >>> from specsim.testing import check_sampler
    >>> report = check_sampler(lambda target, draft, drafted, seed: None, stop_at_failure=True)
    >>> report.verdict.value
    'broken'
    """

    subject: Subject
    checks: tuple[CheckResult, ...]
    alpha: float
    eps: float
    delta: float
    effort: str
    seed: int
    seconds: float
    interrupted: bool = False
    suspects: tuple[Suspect, ...] = field(default=())
    reached: dict[str, tuple[int, int]] = field(default_factory=dict)

    def with_status(self, *statuses: CheckStatus) -> tuple[CheckResult, ...]:
        """Return the checks that came out so."""
        return tuple(check for check in self.checks if check.status in statuses)

    @property
    def certified(self) -> float:
        """The largest certified distance of the checks that give one; NaN when none does."""
        values = [check.certified for check in self.checks if not math.isnan(check.certified)]
        return max(values) if values else math.nan

    @property
    def samples(self) -> int:
        """Rows that the subject verified or wrote in all."""
        return sum(check.rows for check in self.checks)

    @property
    def verdict(self) -> Verdict:
        """What is said about the subject."""
        failed = self.with_status(CheckStatus.FAILED, CheckStatus.UNEXPECTED_PASS)
        if any(check.kind == "output" for check in failed):
            return Verdict.BIASED
        if self.with_status(CheckStatus.ERROR) or any(check.kind == "contract" for check in failed):
            return Verdict.BROKEN
        if failed:
            return Verdict.OTHER_RULE
        if self.with_status(CheckStatus.UNDECIDED) or self.interrupted or not self._judged:
            return Verdict.UNDECIDED
        rule = self.subject.rule
        return Verdict.LOSSLESS if rule is None or rule.lossless else Verdict.LOSSY_AS_DECLARED

    @property
    def _judged(self) -> bool:
        return any(check.kind == "output" and check.status is CheckStatus.PASSED for check in self.checks)

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the subject and enough was seen."""
        return self.verdict in (Verdict.LOSSLESS, Verdict.LOSSY_AS_DECLARED)

    @property
    def exit_code(self) -> int:
        """0 agrees, 1 disagrees, 3 undecided."""
        if self.passed:
            return 0
        return 3 if self.verdict is Verdict.UNDECIDED else 1

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        failed = ", ".join(c.name for c in self.with_status(CheckStatus.FAILED, CheckStatus.UNEXPECTED_PASS))
        errors = ", ".join(c.name for c in self.with_status(CheckStatus.ERROR))
        bound = self.certified
        within = "" if math.isnan(bound) else f" to within TV {bound:.2g} at confidence {1 - self.delta:g}"
        verdict = self.verdict
        if verdict is Verdict.LOSSLESS:
            return f"lossless{within} on the instances tested"
        if verdict is Verdict.LOSSY_AS_DECLARED:
            return f"lossy as declared{within.replace(' to within', ', its law within')}"
        if verdict is Verdict.BIASED:
            return f"biased: {failed}"
        if verdict is Verdict.OTHER_RULE:
            return f"does not follow its declared rule ({failed}); nothing found against its output{within}"
        if verdict is Verdict.BROKEN:
            lawful = any(c.kind == "output" and c.status is CheckStatus.PASSED for c in self.checks)
            rest = f"; nothing found against its output{within}" if lawful and not errors else ""
            return f"broken: {', '.join(part for part in (failed, errors) if part)}{rest}"
        open_checks = ", ".join(check.name for check in self.with_status(CheckStatus.UNDECIDED))
        why = "interrupted" if self.interrupted else open_checks or "no check judged its output"
        return f"undecided: {why}"
