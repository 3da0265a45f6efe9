"""Runs subjects in a process of their own, which may end, hang or grow as it likes."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import IO, Any

from specsim.errors import InputError
from specsim.support.faults import FaultElsewhere
from specsim.support.standard_streams import output_to_errors
from specsim.validation.conformance.checks import all_checks
from specsim.validation.conformance.documents import check_of, report_of, subject_of
from specsim.validation.conformance.laboratory import get_effort
from specsim.validation.conformance.requests import Request, run_request
from specsim.validation.conformance.results import CheckResult, CheckStatus, ConformanceReport, Diagnosis
from specsim.validation.conformance.running import DEFAULT_ALPHA, DEFAULT_DELTA, DEFAULT_SEED, expected_result
from specsim.validation.conformance.surroundings import described

#: Seconds that a call may take, unless another limit is given; importing may take that many times as long.
CALL_SECONDS, IMPORT_FACTOR = 60.0, 5
#: Share of the machine's memory that a subject may take, unless another limit is given.
MEMORY_SHARE = 0.8
#: Seconds between two looks at the process, and at least between two signs of life.
LOOK, SIGN = 0.1, 0.5
#: Bytes by which a process that gives no answer has to grow to be told.
GROWTH = 2.0**29
#: Seconds in which what a process sent before it ended is read.
GRACE = 5.0

# The path is the parent's, so that the same modules are found; nothing of the working folder comes first.
_START = (
    "import json, sys; text = sys.stdin.read(); text.endswith('}') or sys.exit(0); "  # the parent has gone
    "request = json.loads(text); sys.path[:] = request.pop('path'); "
    "from specsim.validation.conformance.isolation import serve; serve(request)"
)

#: Messages after which nothing comes.
LAST = frozenset(("finished", "wrong", "broken", "short", "fault"))
#: Exit code of a process that could not send its results.
NO_CHANNEL = 74

#: Takes the name of a subject and a result as soon as it is there.
Callback = Callable[[str, CheckResult], object]


def serve(request: dict[str, Any]) -> None:
    """Run a request in this process, which was started for it, and send messages where standard output led.

    What the subject prints goes to standard error; it reads nothing; Ctrl-C is the parent's. What is raised
    outside the subject's own code is a fault of ours and is sent as such.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    key = request.pop("key")
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # standard error is closed
        os.dup2(nothing, 1)
    process, last, limit = os.getpid(), 0.0, sys.getrecursionlimit()

    def send(message: dict[str, Any]) -> None:
        nonlocal last
        now = time.monotonic()
        if os.getpid() != process and "copied" not in message:
            # A copy of the process, which the subject made, has nothing else to say.
            os._exit(0)
        if "call" in message and now < last + SIGN:
            return
        last = now
        line = json.dumps({"key": key, **message}, default=_plain) + "\n"
        try:
            channel.write(line)
            channel.flush()
        except (OSError, ValueError):
            # The parent has ended, or the subject has closed the pipe: nobody hears what is said here.
            os._exit(NO_CHANNEL)

    try:
        run_request(Request(**request), send)
    except MemoryError as error:
        send({"short": str(error)})
    except BaseException as error:
        send(_left_behind(error, limit) or {"fault": _fault(error), "trace": traceback.format_exc()})
    # Threads of the subject, and what it does when Python ends, are not waited for.
    os._exit(0)


def in_this_process(request: Request, callback: Callback) -> list[ConformanceReport]:
    """Run a request here, without limits; what the subject prints or writes goes to standard error."""
    collector = _Collector(request, callback)
    with output_to_errors():
        run_request(request, collector.take)
    return collector.reports


def in_own_process(
    request: Request,
    callback: Callback,
    *,
    call_seconds: float | None = None,
    memory_gib: float | None = None,
) -> list[ConformanceReport]:
    """Run a request in a separate process; when it breaks, the next subject gets a new one.

    call_seconds: how long a call of the subject may take.
    memory_gib: memory that its process may take; where the system reports it (not on Windows).
    InputError: as in `requested_subjects`.
    """
    collector = _Collector(request, callback)
    while not collector.ended:
        rest = dataclasses.replace(request, first=collector.number + 1)
        worker = _Worker(rest, call_seconds or CALL_SECONDS, memory_gib)
        try:
            for message in worker.messages():
                collector.take(message)
        except KeyboardInterrupt:
            collector.interrupt()
        except _Ended as error:
            collector.broken(str(error))
        finally:
            worker.end()
    return collector.reports


class _Ended(Exception):
    """The process ended before it was done, or had to be ended; the message says how."""


class _Worker:
    """The process that runs a request."""

    def __init__(self, request: Request, call_seconds: float, memory_gib: float | None) -> None:
        self._seconds = call_seconds
        self._bytes = (memory_gib * 2**30) if memory_gib else MEMORY_SHARE * _machine_bytes()
        self._key = secrets.token_hex(16)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        document = {**dataclasses.asdict(request), "path": sys.path, "key": self._key}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(json.dumps(document).encode())
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._reader = threading.Thread(target=_read, args=(self._process.stdout, self._lines), daemon=True)
        self._reader.start()
        # Bytes that it held soon after it was last heard of.
        self._held: float | None = None

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield messages up to the last one.

        _Ended: there was no last one.
        """
        allowed = IMPORT_FACTOR * self._seconds
        heard = time.monotonic()
        while True:
            try:
                line = self._lines.get(timeout=LOOK)
            except queue.Empty:
                if self._process.poll() is None:
                    self._watch(heard, allowed)
                    continue
                # What was sent is read first; a copy of the process may hold the pipe open.
                self._reader.join(timeout=GRACE)
                line = b"" if self._lines.empty() else self._lines.get()
            if not line:
                raise _Ended(self._how_it_ended())
            message = self._message(line)
            if "copied" in message:
                raise _Ended("a copy of its process (fork) returned from the call; end a copy with os._exit")
            heard, self._held = time.monotonic(), None
            if "subject" in message:
                allowed = self._seconds
            yield message
            if message.keys() & LAST:
                return

    def _message(self, line: bytes) -> dict[str, Any]:
        with suppress(ValueError):
            message = json.loads(line)
            if isinstance(message, dict) and message.pop("key", "") == self._key:
                return message
        raise _Ended("it wrote where its results are sent; leave file descriptors alone that it did not open")

    def _watch(self, heard: float, allowed: float) -> None:
        used = _resident_bytes(self._process.pid)
        if self._held is None:
            self._held = used
        if time.monotonic() > heard + allowed:
            what = "calls" if allowed == self._seconds else "importing it"
            longer = f"{what} may take longer with --time-limit"
            grown = used - self._held
            if grown < GROWTH and not (self._bytes and used > self._bytes / 2):
                raise _Ended(f"it gave no answer for {allowed:g} s; {longer}")
            raise _Ended(
                f"it gave no answer for {allowed:g} s, and its memory grew by {grown / 2**30:.1f} GiB to "
                f"{used / 2**30:.1f} GiB; look for a loop or a recursion without end, or for tables that are "
                f"too large; {longer}"
            )
        if self._bytes and used > self._bytes:
            raise _Ended(
                f"its process took {used / 2**30:.1f} GiB of memory; {self._bytes / 2**30:.1f} are allowed, "
                f"--memory-limit allows more"
            )

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "it closed the pipe of its results; leave file descriptors alone that it did not open"
        if code == NO_CHANNEL:
            return "it closed the pipe of its results; leave file descriptors alone that it did not open"
        if code < 0:
            name = signal.Signals(-code).name
            return (
                f"its process was killed by {name}; if it did not do that itself, memory may have been short"
            )
        return f"its process ended with exit code {code}; return from the call instead"

    def end(self) -> None:
        """End the process and all that it started in its session."""
        with suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()
        self._reader.join(timeout=GRACE)
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()


class _Collector:
    """Makes reports of messages.

    reports: of the subjects so far.
    number: of the last subject that was heard of.
    ended: whether nothing more is to be done.
    """

    def __init__(self, request: Request, callback: Callback) -> None:
        self.reports: list[ConformanceReport] = []
        self.number = request.first - 1
        self.ended = False
        self._request = request
        self._callback = callback
        self._subject: Mapping[str, Any] | None = None
        self._results: list[CheckResult] = []
        self._planned: list[str] = []
        self._check = ""
        self._begun = time.monotonic()
        #: The report of a subject for which a smaller failure is looked for.
        self._diagnosed: ConformanceReport | None = None

    def take(self, message: dict[str, Any]) -> None:
        """Take a message.

        InputError: it says that the input is wrong.
        FaultElsewhere: it says that specsim is.
        MemoryError: it says that memory was short, outside the subject's calls.
        """
        if "subject" in message:
            self._subject, self.number, self._planned = (
                message["subject"],
                message["number"],
                message["checks"],
            )
            done = self._request.done.get(self._subject["name"], {})
            self._results = [check_of(item) for item in done.values()]
            self._begun, self._check = time.monotonic(), ""
        elif "begin" in message:
            self._check = message["begin"]
        elif "check" in message:
            self._results.append(check_of(message["check"]))
            self._callback(self._subject["name"] if self._subject else "", self._results[-1])
        elif "diagnosed" in message:
            self._diagnosed = report_of(message["diagnosed"])
        elif "report" in message:
            self.reports.append(report_of(message["report"]))
            self._subject = self._diagnosed = None
        elif "finished" in message:
            self.ended = True
        elif "wrong" in message:
            self.ended = True
            raise InputError(message["wrong"])
        elif "short" in message:
            self.ended = True
            raise MemoryError(message["short"])
        elif "fault" in message:
            self.ended = True
            raise FaultElsewhere(message["fault"], message["trace"])
        elif "broken" in message:
            self.broken(message["broken"])

    def broken(self, how: str) -> None:
        """Report that the subject's process ended, in the check that ran last or before all.

        While a smaller failure is looked for, which says nothing more, it may end.
        """
        if self._diagnosed is not None:
            self.reports.append(self._diagnosed)
            self._subject = self._diagnosed = None
            return
        known = {check.name: check for check in all_checks()}
        finished = {check.name for check in self._results}
        name = self._check if self._check and self._check not in finished else "process"
        check = known.get(name)
        cause, _, change = how.partition("; ")
        if self._subject is None:
            # Nothing is known of what comes after it in the same file.
            self.ended = True
            cause += (
                " while it was imported" if self.number < self._request.first else " between two subjects"
            )
        result = CheckResult(
            name=name,
            title=check.title if check is not None else "the process lives until all is done",
            kind=check.kind if check is not None else "contract",
            status=CheckStatus.BROKEN,
            reason=cause,
        )
        result = expected_result(result, self._request.expected)
        self._results.append(result)
        self._callback(self._subject["name"] if self._subject else "", result)
        diagnosis = Diagnosis(cause=cause, change=change, explains=(name,))
        skipped = [
            CheckResult(name=n, title=known[n].title, kind=known[n].kind, status=CheckStatus.SKIPPED,
                        reason=f"not run: the sampler broke in {name}")
            for n in self._planned if n not in {check.name for check in self._results}
        ]  # fmt: skip
        self._report(
            [*self._results, *skipped], diagnosis=diagnosis if result.status is CheckStatus.BROKEN else None
        )

    def interrupt(self) -> None:
        """Report what was found until Ctrl-C."""
        self.ended = True
        self._report(self._results, interrupted=True)

    def _report(self, checks: list[CheckResult], **more: Any) -> None:
        settings = self._request.settings
        effort = get_effort(settings.get("effort", "standard"))
        unknown = {
            "name": self._request.target.rpartition(":")[2],
            "protocol": "step",
            "notes": "",
            "rule": None,
        }
        self.reports.append(
            ConformanceReport(
                subject=subject_of(self._subject or unknown),
                checks=tuple(checks),
                alpha=settings.get("alpha", DEFAULT_ALPHA),
                eps=settings.get("eps") or effort.eps,
                delta=settings.get("delta", DEFAULT_DELTA),
                effort=effort.name,
                seed=settings.get("seed", DEFAULT_SEED),
                seconds=time.monotonic() - self._begun,
                **more,
            )
        )
        self._subject, self._results, self._planned = None, [], []


def _read(pipe: IO[bytes], lines: queue.Queue[bytes]) -> None:
    for line in pipe:
        lines.put(line)
    lines.put(b"")


def _left_behind(error: BaseException, limit: int) -> dict[str, Any]:
    """Return the message that the subject spoilt the process for us; empty if it did not.

    limit: of recursion, before the subject was imported.
    """
    if isinstance(error, OSError) and error.errno == errno.EMFILE:
        return {"broken": "its process has no file descriptors left; close the files that a call opens"}
    if isinstance(error, RecursionError) and sys.getrecursionlimit() < limit:
        return {"broken": f"a call set the limit of recursion to {sys.getrecursionlimit()}; leave it"}
    return {}


def _fault(error: BaseException) -> str:
    """Say what was raised, and where."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return described(error)[:300] + where


def _plain(value: Any) -> Any:
    return value.item()


def _machine_bytes() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return 0.0


def _resident_bytes(process: int) -> float:
    """Return the memory that a process takes now; 0 where the system does not report it."""
    if sys.platform == "win32":
        return 0.0
    try:
        with open(f"/proc/{process}/statm", encoding="ascii") as sheet:
            return float(sheet.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    if sys.platform.startswith("linux"):
        return 0.0
    asked = subprocess.run(["ps", "-o", "rss=", "-p", str(process)], capture_output=True, check=False)
    return 1024.0 * float(asked.stdout.split()[0]) if asked.stdout.strip() else 0.0
