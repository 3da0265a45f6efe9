import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from specsim.engines.running import scheduling
from specsim.support import interrupts
from specsim.support.interrupts import LONGEST_IMPORT, SAME_PRESS, Held, Interrupts, run


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def later(monkeypatch):
    """What the handler puts off, called by hand."""
    waiting = []

    class Timer:
        def __init__(self, seconds, function, arguments):
            assert arguments == [signal.SIGINT]
            assert seconds == interrupts.IMPORT_CHECK
            assert function is interrupts._again
            self.start = lambda: waiting.append(self)

    monkeypatch.setattr(interrupts.threading, "Timer", Timer)
    return waiting


def test_handler__raises_outside_imports(later):
    with pytest.raises(KeyboardInterrupt):
        Interrupts()(signal.SIGINT, sys._getframe())
    with pytest.raises(KeyboardInterrupt):
        Interrupts()(signal.SIGINT, None)
    assert not later


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_held__lets_the_signal_come_after_the_body(number, fails):
    done = []

    def body():
        with Held():
            signal.raise_signal(number)
            done.append("after the signal")
            if fails:
                raise ValueError("the body's own")

    handler = Interrupts()
    before = signal.signal(number, handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            body()
        assert done == ["after the signal"]
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)


def test_held__does_nothing_in_other_threads():
    def body():
        with Held():
            found.append(signal.getsignal(signal.SIGINT))

    found = []
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGINT)]


def test_handler__a_key_pressed_twice_counts_once():
    clock = Clock()
    handler = Interrupts(clock)
    with pytest.raises(KeyboardInterrupt):
        handler(signal.SIGINT, None)
    clock.now += SAME_PRESS / 2
    handler(signal.SIGINT, None)
    clock.now += SAME_PRESS
    with pytest.raises(KeyboardInterrupt):
        handler(signal.SIGINT, None)


def test_handler__waits_for_the_end_of_an_import(later):
    clock = Clock()
    handler = Interrupts(clock)
    frame = _frame_of_an_import()
    handler(signal.SIGINT, frame)
    handler(signal.SIGINT, frame)
    assert len(later) == 2
    with pytest.raises(KeyboardInterrupt):
        handler(signal.SIGINT, None)


def test_handler__an_import_that_takes_for_ever_is_interrupted(later):
    clock = Clock()
    handler = Interrupts(clock)
    frame = _frame_of_an_import()
    handler(signal.SIGINT, frame)
    clock.now += LONGEST_IMPORT
    with pytest.raises(KeyboardInterrupt):
        handler(signal.SIGINT, frame)


def _frame_of_an_import():
    inside = compile("import sys; frame = sys._getframe()", "<frozen importlib._bootstrap>", "exec")
    names = {}
    exec(inside, names)
    return names["frame"]


def test_run__exit_codes():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        for main, code in ((lambda: None, 0), (lambda: sys.exit(3), 3), (lambda: sys.exit("bad"), "bad")):
            with pytest.raises(SystemExit) as raised:
                run(main)
            assert raised.value.code == code
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)


def test_run__leaves_a_handler_of_another_alone():
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        with pytest.raises(SystemExit):
            run(lambda: None)
        assert [signal.getsignal(number) for number in numbers] == [signal.SIG_IGN] * 2
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


#: Run as ``-m``, as the command is: only then does CPython look at how an interrupt came along.
PROGRAM = """\
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from specsim.support.interrupts import run

def main():
    {body}

run(main)
"""


def process(tmp_path, body):
    (tmp_path / "program.py").write_text(PROGRAM.format(body=body))
    path = os.pathsep.join([str(tmp_path), *sys.path])
    return subprocess.run(
        [sys.executable, "-m", "program"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_process__an_interrupt_through_the_execution_of_a_string(tmp_path):
    result = process(tmp_path, "exec('raise KeyboardInterrupt')")
    assert result.returncode == 130
    assert result.stderr == "specsim: interrupted\n"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_process__an_import_cannot_swallow_an_interrupt(tmp_path):
    (tmp_path / "swallowing.py").write_text(
        "import os, signal\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    for _ in range(1000): pass\n"
        "except BaseException: pass\n"
    )
    result = process(tmp_path, "import swallowing, time; time.sleep(30); print('slept')")
    assert result.returncode == 130
    assert result.stderr == "specsim: interrupted\n"
    assert result.stdout == ""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_process__a_second_signal_while_clearing_up(tmp_path):
    body = (
        "import os\n"
        "    try: os.kill(os.getpid(), signal.SIGINT)\n"
        "    finally:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        print('cleared up')"
    )
    result = process(tmp_path, body)
    assert result.returncode == 130
    assert result.stdout == "cleared up\n"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_process__sigterm_is_cleared_up_after(tmp_path):
    body = (
        "import os, time\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(30)\n"
        "    finally: print('cleared up')"
    )
    result = process(tmp_path, body)
    assert result.returncode == interrupts.TERMINATED == 143
    assert result.stdout == "cleared up\n"
    assert result.stderr == "specsim: interrupted\n"


def test_work_through__interrupted_while_the_workers_start(monkeypatch):
    submit = scheduling.ThreadPoolExecutor.submit

    def interrupted(pool, work, number):
        future = submit(pool, work, number)
        if number == 1:
            raise KeyboardInterrupt
        return future

    monkeypatch.setattr(scheduling.ThreadPoolExecutor, "submit", interrupted)
    before = threading.active_count()
    left = []

    def endless():
        end = time.monotonic() + 10
        while time.monotonic() < end:
            yield None
        left.append("nothing stopped the workers")

    with pytest.raises(KeyboardInterrupt):
        scheduling.work_through(
            endless(), lambda worker, task: time.sleep(0.001), threads=2, done=lambda task: None
        )
    assert not left
    assert threading.active_count() == before
