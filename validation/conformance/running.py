"""Runs checks on a subject: sample until the evidence decides, the plan is fulfilled, or time is over."""

import dataclasses
import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from specsim.errors import InputError
from specsim.support.checks import unknown, whole
from specsim.validation.conformance.calling import ContractError, NotApplicable, SubjectError, widest
from specsim.validation.conformance.checks import all_checks
from specsim.validation.conformance.checks.base import Check, Exact, Statistical
from specsim.validation.conformance.diagnosis import Findings, diagnose, script_of
from specsim.validation.conformance.laboratory import Effort, Laboratory, get_effort
from specsim.validation.conformance.results import CheckResult, CheckStatus, ConformanceReport
from specsim.validation.conformance.subjects import Subject
from specsim.validation.conformance.surroundings import OURS

#: Probability that a right sampler fails any check of a run.
DEFAULT_ALPHA = 1e-6
#: Probability that the certificate of a run is wrong.
DEFAULT_DELTA = 1e-3
DEFAULT_SEED = 1

#: First number of observations; each look doubles it.
FIRST_LOOK = 256
#: Evidence at the end of the plan from which on a check goes on, and how many times as many observations it
#: then makes at most. A correct sampler comes so far with probability 0.001.
SUSPICIOUS, LONGER = math.log(1000.0), 8

#: Takes the result of a check as soon as it is there.
Callback = Callable[[CheckResult], object]


class Session:
    """The checks of one subject, on one laboratory.

    subject: what is tested.
    effort: ``"quick"``, ``"standard"``, ``"deep"``, or an `Effort`.
    alpha: probability that a right sampler fails any of the checks, shared equally by those that apply.
    eps, delta: distance to certify; probability that the certificate is wrong. `eps` defaults to the
        effort's.
    seed: everything random follows from it.
    budget: seconds for all checks together. Defaults to None: the effort's.
    only: names of checks to run. Defaults to None: all that apply.
    least_samples: observations of the main experiment, at least.
    InputError: a parameter is out of range, or a name in `only` is unknown.
    """

    def __init__(
        self,
        subject: Subject,
        *,
        effort: str | Effort = "standard",
        alpha: float = DEFAULT_ALPHA,
        eps: float | None = None,
        delta: float = DEFAULT_DELTA,
        seed: int = DEFAULT_SEED,
        budget: float | None = None,
        only: Iterable[str] | None = None,
        least_samples: int = 0,
        origin: str = "",
    ) -> None:
        self.effort = get_effort(effort)
        for name, value in (("alpha", alpha), ("delta", delta), ("eps", eps)):
            if value is not None and not 0 < value < 1:
                raise InputError(f"{name} is {value}; give a number strictly between 0 and 1")
        seed = whole("seed", seed, 0, 2**63 - 1)
        if budget is not None and not budget > 0:
            raise InputError(f"budget is {budget}; give a positive number of seconds")
        self.subject = subject
        self.alpha = alpha
        self.eps = self.effort.eps if eps is None else eps
        self.delta = delta
        self.seed = int(seed)
        self.budget = self.effort.seconds if budget is None else budget
        self.origin = origin
        self.laboratory = Laboratory(
            subject, self.effort, eps=self.eps, delta=delta, seed=self.seed, least_samples=least_samples
        )
        self.partial = only is not None
        chosen = _chosen(only)
        self.skipped = [
            (check, reason)
            for check in chosen
            if (reason := check.skip_reason(subject)) and subject.protocol in check.protocols
        ]
        # An assertion on a device, which NaN may trip, ends all further work there: these checks come last.
        self.checks = sorted(
            (check for check in chosen if not check.skip_reason(subject)),
            key=lambda check: check.kind == "guard",
        )
        if not self.checks:
            raise InputError(
                f"no check applies to {subject.name} ({subject.protocol}); "
                f"give other names than {', '.join(check.name for check in chosen)}"
            )
        #: Results so far, in order; and the check in which the subject broke.
        self.results: list[CheckResult] = []
        self.broken_in = ""
        self._spent = 0.0
        self._open = sum(check.weight for check in self.checks)

    @property
    def log_threshold(self) -> float:
        """Logarithm of the e-value at which a check rejects."""
        return self.laboratory.log_threshold(self.alpha, len(self.checks))

    def plan(self) -> list[tuple[Check, int, float]]:
        """Return (check, observations planned, distance caught with probability 0.999), sampling nothing."""
        rows = []
        for check in self.checks:
            with np.errstate(**OURS):
                procedure = self._procedure(check)
            if isinstance(procedure, Statistical):
                rows.append((check, procedure.planned, procedure.catches(self.log_threshold)))
            else:
                rows.append((check, 0, math.nan))
        return rows

    def run(self, check: Check) -> CheckResult:
        """Run one check, or none any more once the subject broke."""
        if self.broken_in:
            reason = f"not run: the sampler broke in {self.broken_in}"
            return _result(check, CheckStatus.SKIPPED, reason=reason)
        result = self.run_alone(check)
        self.results.append(result)
        return result

    def run_alone(self, check: Check) -> CheckResult:
        """Run one check, whatever became of the others."""
        begin = time.monotonic()
        rest = max(self.budget - self._spent, 0.0)
        # Nobody knows how long the others take; early checks may use more than their share.
        allowed = min(rest, max(2 * rest * check.weight / max(self._open, check.weight), 1.0))
        calls_before, rows_before = self._used()
        try:
            with warnings.catch_warnings(), np.errstate(**OURS):
                warnings.simplefilter("ignore")
                result = self._run(check, begin + allowed)
        except (ContractError, SubjectError) as error:
            # On rows that are not finite a wrong answer is all that was asked about.
            guard = check.kind == "guard" and isinstance(error, ContractError)
            status = CheckStatus.FAILED if guard else CheckStatus.BROKEN
            result = _result(check, status, reason=_line(error))
        except NotApplicable as error:
            result = _result(check, CheckStatus.SKIPPED, reason=_line(error))
        elapsed = time.monotonic() - begin
        self._spent += elapsed
        self._open -= check.weight
        calls, rows = self._used()
        command = self._command(check) if result.status in _TELLING else ""
        return dataclasses.replace(
            result,
            seconds=elapsed,
            calls=calls - calls_before,
            rows=rows - rows_before,
            command=command,
            reached=self.laboratory.reached(),
        )

    def _used(self) -> tuple[int, int]:
        callers = self.laboratory.callers
        return sum(caller.calls for caller in callers), sum(caller.rows for caller in callers)

    def _procedure(self, check: Check) -> Statistical | Exact:
        made: Statistical | Exact = self.laboratory.keep(
            f"check {check.name}", lambda: check.make(self.laboratory)
        )
        return made

    def _run(self, check: Check, deadline: float) -> CheckResult:
        lab = self.laboratory
        procedure = self._procedure(check)
        for caller in lab.callers:
            caller.deadline = deadline
        if isinstance(procedure, Exact):
            try:
                cases = procedure.run()
            except ContractError:
                raise
            except AssertionError as error:
                return _result(check, CheckStatus.FAILED, reason=_line(error))
            return _result(check, CheckStatus.PASSED, samples=cases, planned=cases)
        return self._sample(check, procedure, deadline)

    def _sample(self, check: Check, procedure: Statistical, deadline: float) -> CheckResult:
        threshold = self.log_threshold
        catches = procedure.catches(threshold)
        probe = procedure.probe
        kind = check.kind
        looks: list[tuple[int, float]] = []
        seen = -1
        while True:
            log_e = procedure.log_e() if probe.total else -math.inf
            if probe.total:
                looks.append((probe.total, log_e / math.log(10)))
            if log_e >= threshold:
                status = CheckStatus.FAILED
                if kind != "output" or procedure.output_log_e() >= threshold:
                    break
                # The declared rule alone is contradicted; the output is looked at as long as it would be.
                if probe.total >= procedure.planned or time.monotonic() > deadline:
                    kind = "rule"
                    break
            elif probe.total >= procedure.planned and not (
                log_e >= SUSPICIOUS and seen < probe.total < procedure.longest(LONGER)
            ):
                status = CheckStatus.PASSED
                break
            elif time.monotonic() > deadline:
                # What was planned is there; only more was asked for.
                status = CheckStatus.PASSED if probe.total >= procedure.planned else CheckStatus.UNDECIDED
                break
            seen = probe.total
            limit = procedure.planned if seen < procedure.planned else procedure.longest(LONGER)
            probe.sample(min(max(FIRST_LOOK, seen), limit - seen))
        if status is CheckStatus.FAILED:
            kind = procedure.about(kind)
        telling = status is not CheckStatus.PASSED
        level = math.exp(-threshold)
        return _result(
            check,
            status,
            kind=kind,
            samples=probe.total,
            planned=procedure.planned,
            log10_e=log_e / math.log(10),
            log10_threshold=threshold / math.log(10),
            looks=tuple(looks),
            catches=catches,
            certified=procedure.certified(self.delta) if probe.total else math.nan,
            deviations=procedure.deviations(level) if telling and probe.total else (),
            looks_like=procedure.looks_like() if status is CheckStatus.FAILED else (),
            picture=procedure.picture() if procedure.picture and probe.total else None,
            reason=_why(status, procedure, catches),
        )

    def _command(self, check: Check) -> str:
        if not self.origin:
            return ""
        parts = [f"specsim conform {self.origin} --check {check.name} --effort {self.effort.name}"]
        parts.append(f"--seed {self.seed} --alpha {self.alpha * 1 / len(self.checks):.3g}")
        if self.eps != self.effort.eps:
            parts.append(f"--eps {self.eps:g}")
        return " ".join(parts)


_TELLING = (CheckStatus.FAILED, CheckStatus.BROKEN, CheckStatus.UNDECIDED)
_BAD = (CheckStatus.FAILED, CheckStatus.BROKEN)


def check_sampler(
    subject: Any,
    *,
    protocol: str | None = None,
    rule: Any = None,
    effort: str | Effort = "standard",
    alpha: float = DEFAULT_ALPHA,
    eps: float | None = None,
    delta: float = DEFAULT_DELTA,
    seed: int = DEFAULT_SEED,
    budget: float | None = None,
    only: Iterable[str] | None = None,
    least_samples: int = 0,
    expected_failures: Mapping[str, str] | None = None,
    callback: Callback | None = None,
    stop_at_failure: bool = False,
    raise_on_failure: bool = False,
    origin: str = "",
    **fields: Any,
) -> ConformanceReport:
    """Test whether a sampler is lossless, or follows the rule that it declares.

    Parameters
    ----------
    subject
        A `Subject`, or a plain callable of one of the protocols (see `Subject`).
    protocol, rule, fields
        For a plain callable: its protocol (read off its parameters by default), the rule that it claims to
        follow (a name such as ``"ratio"``; None: output only), and more fields of `Subject`.
    effort, alpha, eps, delta, seed, budget, only, least_samples
        As in `Session`.
    expected_failures
        Names of checks that are known to fail, with the reason. One that passes is reported as a failure.
    callback
        Called with every `CheckResult` as soon as it is there.
    stop_at_failure
        Whether to leave out the remaining checks after a failure.
    raise_on_failure
        Whether to raise `ConformanceError` when the sampler fails a check.
    origin
        What names the subject on the command line, for commands that reproduce.

    Raises
    ------
    InputError
        A parameter is wrong, or the library of the subject is missing.
    ConformanceError
        See `raise_on_failure`.

    Examples
    --------
    >>> import numpy as np
    >>> from specsim.testing import check_sampler
    >>> def accept_everything(target, draft, drafted, seed):
    ...     bonus = np.random.default_rng(seed).random(len(target))[:, None] > target[:, -1].cumsum(axis=-1)
    ...     return np.column_stack([drafted, bonus.sum(axis=-1)]), np.full(len(drafted), drafted.shape[1] + 1)
    >>> check_sampler(accept_everything, effort="quick", stop_at_failure=True).verdict.value
    'biased'
    """
    from specsim.validation.conformance.subjects import as_subject

    made = as_subject(subject, protocol=protocol, rule=rule, **fields)
    session = Session(
        made,
        effort=effort,
        alpha=alpha,
        eps=eps,
        delta=delta,
        seed=seed,
        budget=budget,
        only=only,
        least_samples=least_samples,
        origin=origin,
    )
    report = run_session(
        session,
        expected_failures=expected_failures,
        callback=callback,
        stop_at_failure=stop_at_failure,
    )
    if raise_on_failure and report.failed:
        raise ConformanceError(report)
    return report


def run_session(
    session: Session,
    *,
    expected_failures: Mapping[str, str] | None = None,
    callback: Callback | None = None,
    stop_at_failure: bool = False,
    done: Mapping[str, CheckResult] | None = None,
    on_begin: Callable[[Check], object] = bool,
    on_diagnosis: Callable[[ConformanceReport], object] = bool,
) -> ConformanceReport:
    """Run the checks of a session and report on them.

    expected_failures, callback, stop_at_failure: as in `check_sampler`.
    done: results of an earlier run with the same settings, by check; these checks are not run again.
    on_begin: called before every check that is run.
    on_diagnosis: called with the report that there is before a smaller failure is looked for, in which the
        subject may end or hang.
    """
    known = dict(expected_failures or {})
    _chosen(known)
    results: list[CheckResult] = []
    interrupted = False
    begin = time.monotonic()
    try:
        for check in session.checks:
            if done and check.name in done:
                result = done[check.name]
            else:
                on_begin(check)
                result = expected_result(session.run(check), known)
                if result.status is CheckStatus.BROKEN:
                    session.broken_in = check.name
                if callback:
                    callback(result)
            results.append(result)
            if stop_at_failure and result.status in _BAD:
                break
    except KeyboardInterrupt:
        interrupted = True
    bad = tuple(result for result in results if result.status in _BAD)
    with warnings.catch_warnings(), np.errstate(**OURS):
        warnings.simplefilter("ignore")
        found = Findings() if interrupted else diagnose(session.laboratory, bad)
    results += [_result(check, CheckStatus.SKIPPED, reason=reason) for check, reason in session.skipped]
    report = ConformanceReport(
        subject=session.subject,
        checks=tuple(results),
        alpha=session.alpha,
        eps=session.eps,
        delta=session.delta,
        effort=session.effort.name,
        seed=session.seed,
        seconds=time.monotonic() - begin,
        interrupted=interrupted,
        partial=session.partial,
        suspects=found.suspects,
        diagnosis=found.diagnosis,
        reached=widest([session.laboratory.reached(), *(result.reached for result in results)]),
    )
    if interrupted or not bad:
        return report
    on_diagnosis(report)
    with warnings.catch_warnings(), np.errstate(**OURS):
        warnings.simplefilter("ignore")
        script = script_of(session.laboratory, bad, found.diagnosis, session.origin)
    return dataclasses.replace(report, script=script, seconds=time.monotonic() - begin)


class ConformanceError(AssertionError):
    """A sampler failed a check; the message is the report's text.

    Attributes
    ----------
    report
        What was found.

    Examples
    --------
    >>> from specsim.testing import ConformanceError, checks_for
    >>> check = next(checks_for(lambda target, draft, drafted, seed: None, effort="quick"))
    >>> try:
    ...     check()
    ... except ConformanceError as error:
    ...     print(error.report.verdict.value)
    broken
    """

    def __init__(self, report: ConformanceReport) -> None:
        from specsim.validation.conformance.report_text import report_lines

        self.report = report
        super().__init__("\n".join(report_lines(report)))


def expected_result(result: CheckResult, known: Mapping[str, str]) -> CheckResult:
    """Return the result of a check, or of one that was expected to fail."""
    if result.name not in known:
        return result
    why = known[result.name]
    if result.status in _BAD:
        return dataclasses.replace(result, status=CheckStatus.EXPECTED_FAILURE, reason=f"expected: {why}")
    if result.status is CheckStatus.PASSED:
        text = f"expected to fail ({why}), but it passed; remove it from expected_failures"
        return dataclasses.replace(result, status=CheckStatus.UNEXPECTED_PASS, reason=text)
    return result


def _chosen(only: Iterable[str] | None) -> list[Check]:
    checks = list(all_checks())
    known = list(dict.fromkeys(check.name for check in checks))
    if only is None:
        return checks
    if isinstance(only, str):
        only = [only]
    names = list(only)
    for name in names:
        if name not in known:
            unknown("check", name, known)
    return [check for check in checks if check.name in names]


def _result(check: Check, status: CheckStatus, **fields: Any) -> CheckResult:
    return CheckResult(
        **{"name": check.name, "title": check.title, "kind": check.kind, **fields}, status=status
    )


def _why(status: CheckStatus, procedure: Statistical, catches: float) -> str:
    if status is CheckStatus.UNDECIDED:
        return f"the time budget ended after {procedure.probe.total} of {procedure.planned} observations"
    return ""


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
