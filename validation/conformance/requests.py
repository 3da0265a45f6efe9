"""What the command asks for, and how it is done, in the caller's process or in another: by messages."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from specsim.errors import InputError
from specsim.validation.conformance.adapters import ADAPTERS, adapter_names, adapter_subjects
from specsim.validation.conformance.calling import SubjectError
from specsim.validation.conformance.documents import (
    check_document,
    check_of,
    report_document,
    subject_document,
)
from specsim.validation.conformance.running import Session, run_session
from specsim.validation.conformance.subjects import Subject, load_subjects
from specsim.validation.conformance.surroundings import described, imported

#: Takes a message, a document of JSON's types.
Send = Callable[[dict[str, Any]], object]


@dataclass(frozen=True, kw_only=True)
class Request:
    """Samplers to test, and how.

    target: ``module:callable``, ``file.py:callable``, or the name of an adapter.
    fields: of the subject, where they are not its own.
    settings: of `Session`.
    expected: names of checks that are known to fail, with the reason.
    origin: what names the target and its fields on the command line.
    done: results of checks that are not run again, by subject and check.
    first: number of the subject to begin with.
    adapters: where adapters are.
    """

    target: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    expected: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""
    done: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    first: int = 0
    adapters: Mapping[str, Any] = field(default_factory=lambda: dict(ADAPTERS))


def requested_subjects(request: Request) -> tuple[Subject, ...]:
    """Import the subjects of a request.

    InputError: there is no such thing, or it cannot be imported.
    SubjectError: its import tried to end the program.
    """
    ADAPTERS.update({name: (module, title) for name, (module, title) in request.adapters.items()})
    target, fields = request.target, dict(request.fields)
    if "dtypes" in fields:
        fields["dtypes"] = tuple(fields["dtypes"])
    try:
        if ":" in target:
            return load_subjects(target, **fields)
        if target in adapter_names():
            if fields:
                raise InputError(
                    f"target {target} is built in and declares its own {', '.join(fields)}; leave these out"
                )
            with imported():
                return adapter_subjects(target)
    except SystemExit as error:
        raise SubjectError(f"{described(error)}; return from its import instead") from error
    except KeyboardInterrupt as error:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            raise
        # Ctrl-C is ignored: the interrupt is its own.
        raise SubjectError("KeyboardInterrupt; import it without interrupts") from error
    names = ", ".join(adapter_names())
    raise InputError(f"target is {target!r}; write module:callable or file.py:callable, or one of {names}")


def run_request(request: Request, send: Send) -> None:
    """Do what is asked for, and send what is found.

    Messages: ``subject`` (with the names of its checks), ``begin`` and ``check`` for every check, ``call``
    before calls, ``copied`` from a copy of the process, ``report`` at the end of a subject, ``finished`` at
    the end; or ``wrong`` (the input) or ``broken``.
    """
    try:
        subjects = requested_subjects(request)
        for number, subject in enumerate(subjects):
            if number >= request.first and not _run_subject(request, number, subject, send):
                return
    except InputError as error:
        send({"wrong": str(error)})
    except SubjectError as error:
        send({"broken": str(error)})
    else:
        send({"finished": len(subjects)})


def _run_subject(request: Request, number: int, subject: Subject, send: Send) -> bool:
    """Run the checks of a subject; return False if Ctrl-C ended them, which ends the others, too."""
    session = Session(subject, **request.settings, origin=request.origin)
    done = {name: check_of(item) for name, item in request.done.get(subject.name, {}).items()}
    session.laboratory.on_call = lambda: send({"call": 1})
    session.laboratory.on_copy = lambda: send({"copied": 1})
    names = [check.name for check in session.checks]
    send({"subject": subject_document(subject), "number": number, "checks": names})
    report = run_session(
        session,
        expected_failures=request.expected,
        done=done,
        callback=lambda result: send({"check": check_document(result)}),
        on_begin=lambda check: send({"begin": check.name}),
        on_diagnosis=lambda report: send({"diagnosed": report_document(report)}),
    )
    send({"report": report_document(report)})
    return not report.interrupted
