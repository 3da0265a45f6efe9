"""What the oracle found: about one check, and about a subject."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from specsim.support.showing import aligned, as_html
from specsim.validation.conformance.subjects import Subject

if TYPE_CHECKING:
    from pandas import DataFrame


class CheckStatus(enum.Enum):
    """How one check came out.

    BROKEN: the subject returned nothing that can be judged (an exception, wrong shapes, an ended process).

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
    BROKEN = "broken"
    EXPECTED_FAILURE = "expected failure"
    UNEXPECTED_PASS = "unexpected pass"


class Verdict(enum.Enum):
    """What is said about a subject.

    BIASED and OTHER_RULE are about laws; DEPENDENT: rows of a batch, or calls under different seeds, share
    random numbers, so that evidence about laws is void; BROKEN: it violates its protocol; UNGUARDED: nothing
    is wrong on finite rows, but tokens come out of rows with NaN or infinity.

    Examples
    --------
    >>> from specsim.testing import Verdict
    >>> Verdict("biased")
    <Verdict.BIASED: 'biased'>
    """

    LOSSLESS = "lossless"
    LOSSY_AS_DECLARED = "lossy as declared"
    BIASED = "biased"
    DEPENDENT = "not independent"
    OTHER_RULE = "not the declared rule"
    BROKEN = "broken"
    UNGUARDED = "not guarded against NaN"
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

    name, title, source: of the law; where it was seen.
    change: for a bug, what to change.
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
    change: str = ""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What most likely is wrong.

    cause: in one sentence.
    change: what to change, in one sentence.
    known: name of the known bug that the data agree with; empty when they agree with none.
    source: where that bug was seen.
    explains: the failed checks that follow from it.
    """

    cause: str
    change: str
    known: str = ""
    source: str = ""
    explains: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Script:
    """A short program that shows a failure without specsim.

    text: the program; it needs NumPy (or torch) and the sampler, and exits with 1 while the failure is there.
    sizes: what it was shrunk to, in words.
    """

    text: str
    sizes: str


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
        What it is evidence about: ``"contract"`` (exact), ``"guard"`` (rows that are not finite),
        ``"output"`` (the law of emitted tokens), ``"independence"`` (of rows and seeds) or ``"rule"`` (the
        declared rule). A check of the output that only conditional laws of the declared rule reject counts as
        ``"rule"``.
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
    looks
        Observations and evidence, in powers of ten, each time the evidence was looked at while sampling.
    certified
        Upper bound of the law's distance from the one expected, at the report's confidence; NaN for none.
    calls, rows, seconds
        Calls of the subject for this check alone, their rows together, and time spent.
    deviations, looks_like, picture
        Where it failed: the worst cells, alternatives that the counts agree with, and a picture of the laws.
    command
        Reproduces it; empty when the subject has no name on the command line.
    reached
        Least and most of every size that the subject had been called with when the check ended.

    Examples
    --------
    >>> from specsim.testing import checks_for
    >>> check = next(checks_for(lambda target, draft, drafted, seed: None, effort="quick"))
    >>> check.run().status.value
    'broken'
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
    looks: tuple[tuple[int, float], ...] = ()
    catches: float = math.nan
    certified: float = math.nan
    calls: int = 0
    rows: int = 0
    seconds: float = 0.0
    deviations: tuple[Deviation, ...] = ()
    looks_like: tuple[str, ...] = ()
    picture: Picture | None = None
    command: str = ""
    reached: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, repr=False)
class ConformanceReport:
    """All that was found about one subject; print it for verdict, checks and evidence.

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
    partial
        Whether some checks were asked for, and not all that apply.
    reached
        Least and most of every size that the subject was called with, by name.
    suspects
        Known laws of the main experiment, those that agree with the data first.
    diagnosis, script
        What most likely is wrong, and a short program that shows it; None where nothing is.

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
    partial: bool = False
    suspects: tuple[Suspect, ...] = ()
    diagnosis: Diagnosis | None = None
    script: Script | None = None
    reached: dict[str, tuple[int, int]] = field(default_factory=dict)

    def __str__(self) -> str:
        from specsim.validation.conformance.report_text import HEADINGS, body_lines, check_rows, head_lines

        rows = aligned([HEADINGS, *check_rows(self)])
        return "\n".join([*head_lines(self), "", *rows, "", *body_lines(self)])

    def _repr_html_(self) -> str:
        from specsim.validation.conformance.report_text import body_lines, head_lines

        return as_html(" ".join(head_lines(self)), self.to_dataframe(), *body_lines(self))

    def __repr__(self) -> str:
        return f"<ConformanceReport on {self.subject.name}: {self.sentence}>"

    def to_dataframe(self) -> DataFrame:
        """Return a row for each check.

        Columns: ``check``, ``kind`` and ``status``; ``samples``; the evidence ``log10_e`` and what rejects,
        ``log10_threshold``, in powers of ten; the total variation distances that it ``catches`` and has
        ``certified``; ``seconds``.
        """
        import pandas

        names = ("kind", "samples", "log10_e", "log10_threshold", "catches", "certified", "seconds")
        rows = [
            {
                "check": check.name,
                "status": check.status.value,
                **{name: getattr(check, name) for name in names},
            }
            for check in self.checks
        ]
        return pandas.DataFrame(rows)

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
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks that speak against the subject."""
        return self.with_status(CheckStatus.FAILED, CheckStatus.BROKEN, CheckStatus.UNEXPECTED_PASS)

    @property
    def verdict(self) -> Verdict:
        """What is said about the subject."""
        kinds = {"broken" if c.status is CheckStatus.BROKEN else c.kind for c in self.failed}
        for kind, verdict in _BY_KIND:
            if kind in kinds:
                return verdict
        if self.with_status(CheckStatus.UNDECIDED) or self.interrupted or not self._judged:
            return Verdict.UNDECIDED
        rule = self.subject.rule
        return Verdict.LOSSLESS if rule is None or rule.lossless else Verdict.LOSSY_AS_DECLARED

    @property
    def _judged(self) -> bool:
        kinds = ("output", "independence")
        return any(check.kind in kinds and check.status is CheckStatus.PASSED for check in self.checks)

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the subject and enough was seen."""
        return self.exit_code == 0

    @property
    def exit_code(self) -> int:
        """0 agrees, 1 disagrees, 3 undecided, 4 broken or not guarded."""
        return _EXIT_CODES.get(self.verdict, 1)

    @property
    def _part(self) -> str:
        run = self.with_status(CheckStatus.PASSED, CheckStatus.EXPECTED_FAILURE)
        return f"; only {_names(run)} {'was' if len(run) == 1 else 'were'} run" if self.partial else ""

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        bound = self.certified
        within = "" if math.isnan(bound) else f" to within TV {bound:.2g} at confidence {1 - self.delta:g}"
        nothing = f"; nothing found against its output{within}" if self._judged else ""
        names = _names(self.failed)
        match self.verdict:
            case Verdict.LOSSLESS:
                known = _names(self.with_status(CheckStatus.EXPECTED_FAILURE))
                but = f", but for {known}" if known else ""
                return f"lossless{within} on the instances tested{but}{self._part}"
            case Verdict.LOSSY_AS_DECLARED:
                return f"lossy as declared{within.replace(' to within', ', its law within')}{self._part}"
            case Verdict.BIASED:
                return f"biased: {names}"
            case Verdict.DEPENDENT:
                return (
                    f"not independent: {names}; random numbers are shared, so the other results mean nothing"
                )
            case Verdict.OTHER_RULE:
                return f"does not follow its declared rule ({names}){nothing}"
            case Verdict.BROKEN:
                return f"broken: {names}" + ("" if self.with_status(CheckStatus.BROKEN) else nothing)
            case Verdict.UNGUARDED:
                return f"not guarded: tokens come out of rows with NaN or infinity ({names}){nothing}"
        open_checks = _names(self.with_status(CheckStatus.UNDECIDED))
        why = "interrupted" if self.interrupted else open_checks or "no check tested its output"
        return f"undecided: {why}"


#: What decides first: dependence voids evidence about laws; a bias that was seen stays after a crash.
_BY_KIND = (
    ("independence", Verdict.DEPENDENT),
    ("output", Verdict.BIASED),
    ("broken", Verdict.BROKEN),
    ("contract", Verdict.BROKEN),
    ("rule", Verdict.OTHER_RULE),
    ("guard", Verdict.UNGUARDED),
)

_EXIT_CODES = {
    Verdict.LOSSLESS: 0,
    Verdict.LOSSY_AS_DECLARED: 0,
    Verdict.UNDECIDED: 3,
    Verdict.BROKEN: 4,
    Verdict.UNGUARDED: 4,
}


def _names(checks: tuple[CheckResult, ...]) -> str:
    return ", ".join(check.name for check in checks)
