"""The checks of a sampler as plain functions, for any test runner."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from specsim.validation.conformance.checks.base import Check
from specsim.validation.conformance.results import CheckResult, CheckStatus, ConformanceReport
from specsim.validation.conformance.running import ConformanceError, Session
from specsim.validation.conformance.subjects import Subject, as_subject


class Skipped(Exception):
    """A check does not apply; the message says why. Raised outside of test runners."""


class BoundCheck:
    """One check of one sampler: a function without arguments that raises when the sampler fails.

    The checks of one sampler share their experiments, so that running all of them costs little more than the
    most expensive one.

    Attributes
    ----------
    name, title
        The check.
    subject
        The sampler.
    expected_failure
        Why it is known to fail, or None.
    result
        The `CheckResult` of the last call, or None.

    Examples
    --------
    >>> from specsim.testing import checks_for
    >>> check = next(checks_for(lambda target, draft, drafted, seed: None, effort="quick"))
    >>> check.name, check.run().status.value
    ('contract', 'broken')
    """

    def __init__(self, session: Session, check: Check, expected_failure: str | None = None) -> None:
        self._session = session
        self._check = check
        self.name = check.name
        self.title = check.title
        self.subject: Subject = session.subject
        self.expected_failure = expected_failure
        self.result: CheckResult | None = None

    def __repr__(self) -> str:
        return f"{self.subject.name}-{self.name}"

    def run(self) -> CheckResult:
        """Run the check and return what was found; nothing is raised for a failure."""
        self.result = self._session.run(self._check)
        if self.result.status is CheckStatus.BROKEN and self.expected_failure is None:
            self._session.broken_in = self.name
        return self.result

    def __call__(self, *_: Any) -> None:
        """Run the check.

        ConformanceError: the sampler failed it, or raised an exception itself.
        Skipped: it turned out not to apply, or could not be decided within the budget.
        """
        __tracebackhide__ = True
        result = self.run()
        if result.status in (CheckStatus.FAILED, CheckStatus.BROKEN):
            raise ConformanceError(self._report(result))
        if result.status in (CheckStatus.SKIPPED, CheckStatus.UNDECIDED):
            raise Skipped(f"{result.status.value}: {result.reason}")

    def _report(self, result: CheckResult) -> ConformanceReport:
        """Return the report on this check; the diagnosis is shown once in a session."""
        from specsim.validation.conformance.diagnosis import Findings, diagnose, script_of

        session = self._session
        failed = [
            check for check in session.results if check.status in (CheckStatus.FAILED, CheckStatus.BROKEN)
        ]
        first = failed[0]
        found, script = Findings(), None
        if result is first:
            found = diagnose(session.laboratory, [result])
            script = script_of(session.laboratory, [result], found.diagnosis, session.origin)
        if result is not first:
            reason = f"most likely for the same reason as {first.name}, which failed before; mend that first"
            result = replace(result, reason="; ".join(part for part in (result.reason, reason) if part))
        return ConformanceReport(
            subject=session.subject,
            checks=(result,),
            alpha=session.alpha,
            eps=session.eps,
            delta=session.delta,
            effort=session.effort.name,
            seed=session.seed,
            seconds=result.seconds,
            suspects=found.suspects,
            diagnosis=found.diagnosis,
            script=script,
        )


def checks_for(
    subject: Any,
    *,
    protocol: str | None = None,
    rule: Any = None,
    expected_failures: Mapping[str, str] | None = None,
    fields: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Iterator[BoundCheck]:
    """Yield the checks that apply to a sampler, prerequisites first.

    Parameters
    ----------
    subject, protocol, rule
        As in `check_sampler`.
    expected_failures
        Names of checks that are known to fail, with the reason.
    fields
        More fields of `Subject`, for a plain callable.
    settings
        ``effort``, ``alpha``, ``eps``, ``delta``, ``seed``, ``budget``, ``only``: as in `check_sampler`.

    Raises
    ------
    InputError
        A parameter is wrong.

    Examples
    --------
    >>> from specsim.testing import checks_for
    >>> [check.name for check in checks_for(lambda target, draft, drafted, seed: None, effort="quick")][:3]
    ['contract', 'untouched-inputs', 'determinism']
    """
    made = as_subject(subject, protocol=protocol, rule=rule, **dict(fields or {}))
    session = Session(made, **settings)
    known = dict(expected_failures or {})
    for check in session.checks:
        yield BoundCheck(session, check, known.get(check.name))


def parametrize_with_checks(
    subjects: Iterable[Any],
    *,
    expected_failures: Mapping[str, str] | Callable[[Subject], Mapping[str, str]] | None = None,
    **settings: Any,
) -> Any:
    """Return a pytest decorator that runs a test once for every check of every sampler.

    The test takes one argument, ``check``, and calls it::

        @parametrize_with_checks([my_step], rule="ratio", effort="quick")
        def test_my_sampler(check):
            check()

    Parameters
    ----------
    subjects
        Samplers, as in `check_sampler`.
    expected_failures
        Names of checks that are known to fail, with the reason; or a function of the subject that returns
        them. They are marked ``xfail(strict=True)``.
    settings
        As in `checks_for`. The options ``--specsim-effort``, ``--specsim-seed``, ``--specsim-alpha`` and
        ``--specsim-budget`` of pytest override them.

    Examples
    --------
    >>> from specsim.testing import parametrize_with_checks
    >>> mark = parametrize_with_checks([lambda target, draft, drafted, seed: None], only=["determinism"])
    >>> mark.name
    'parametrize'
    """
    import pytest

    from specsim.testing.pytest_plugin import OPTIONS

    settings |= OPTIONS
    parameters = []
    for subject in subjects:
        made = as_subject(
            subject,
            protocol=settings.get("protocol"),
            rule=settings.get("rule"),
            **dict(settings.get("fields") or {}),
        )
        rest = {key: value for key, value in settings.items() if key not in ("protocol", "rule", "fields")}
        known = expected_failures(made) if callable(expected_failures) else expected_failures
        for check in checks_for(made, expected_failures=known, **rest):
            marks = []
            if check.expected_failure is not None:
                marks.append(pytest.mark.xfail(reason=check.expected_failure, strict=True))
            parameters.append(pytest.param(_Skipping(check), marks=marks, id=repr(check)))
    return pytest.mark.parametrize("check", parameters)


class _Skipping:
    """A check that reports to pytest when it is skipped."""

    def __init__(self, check: BoundCheck) -> None:
        self.check = check

    def __call__(self, *_: Any) -> None:
        import pytest

        # The report is the message; the way to it is not the user's code.
        __tracebackhide__ = True
        try:
            self.check()
        except Skipped as error:
            pytest.skip(str(error))
