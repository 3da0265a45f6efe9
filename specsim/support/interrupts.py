"""Ctrl-C and SIGTERM in a command end it with one line and the documented exit code, even during an import.

Imports only what a started interpreter has loaded, because it is loaded before everything else.
"""

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
TERMINATED = 143
#: Seconds within which a second signal is taken for the same key press.
SAME_PRESS = 1.0
#: Seconds between two checks whether an import has ended, and the longest wait for its end.
IMPORT_CHECK = 0.02
LONGEST_IMPORT = 2.0


class Interrupted(KeyboardInterrupt):
    """A signal to this process, whatever code it hits: not an exception of that code's own."""


class Interrupts:
    """Handler of SIGINT and SIGTERM: raises `Interrupted` in the main thread where it can be caught.

    During an import the exception could be caught by the imported module, or leave it incomplete: the handler
    waits for the end of the import, at most `LONGEST_IMPORT` seconds. A second signal within `SAME_PRESS`
    seconds of the first is ignored, so that cleaning up is not interrupted; a later one interrupts again.

    clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: float | None = None
        self._raised: float | None = None
        #: The last signal that came.
        self.number = signal.SIGINT

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raise, wait or ignore."""
        now = self._clock()
        self.number = signal.Signals(number)
        if self._raised is not None and now < self._raised + SAME_PRESS:
            return
        if self._first is None:
            self._first = now
        if now < self._first + LONGEST_IMPORT and _importing(frame):
            timer = threading.Timer(IMPORT_CHECK, _again, [signal.Signals(number)])
            timer.daemon = True
            timer.start()
            return
        self._first = None
        self._raised = now
        raise Interrupted


def _again(number: signal.Signals) -> None:
    if hasattr(signal, "pthread_kill"):
        # Unlike the other, it ends a wait.
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        _thread.interrupt_main(number)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


class Held:
    """Context in which Ctrl-C and SIGTERM wait for its end: for short code that an exception would break.

    Signals raise exceptions in the main thread alone; in others nothing is done.
    """

    def __enter__(self) -> None:
        self._came: list[tuple[int, FrameType | None]] = []
        self._handlers: dict[int, Callable[[int, FrameType | None], object]] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, lambda number, frame: self._came.append((number, frame)))

    def __exit__(self, *error: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        for number, frame in self._came[:1]:
            self._handlers[number](number, frame)


def run(main: Callable[[], object]) -> NoReturn:
    """Run the main function of a process, which ends with `SystemExit`, and end the process.

    SIGTERM, by which schedulers of machines end what they run, is taken for Ctrl-C, so that it too leaves
    nothing half-written; the process then ends with 143 instead of 130. Signals that were switched off by the
    parent process, or do something of their own, stay so.

    main: may import what it needs.
    """
    interrupts = Interrupts()
    try:
        for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
            if signal.getsignal(number) is usual:
                signal.signal(number, interrupts)
        main()
        code: object = 0
    except SystemExit as error:
        code = error.code
    except KeyboardInterrupt:
        code = INTERRUPTED
        print("specsim: interrupted", file=sys.stderr, flush=True)
    if code == INTERRUPTED:
        # Only the end of the interpreter follows.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if interrupts.number == signal.SIGTERM:
            code = TERMINATED
        # After an interrupt inside exec() CPython ends by the signal, whatever the exit code; another exec()
        # resets that.
        exec("")
    sys.exit(code)  # type: ignore[arg-type]
