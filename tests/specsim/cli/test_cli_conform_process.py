"""Samplers that leave, hang, print or grow, as the command runs them: in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from specsim.cli.group import main
from specsim.validation.conformance import isolation
from specsim.validation.conformance.requests import Request

SAMPLER = """
import os, signal, sys, time
import numpy as np

def step(target, draft, drafted, seed):
    if not np.isfinite(target).all():
        raise ValueError("not finite")
    rng = np.random.default_rng(seed)
    batch, width, vocabulary = target.shape
    sums = np.cumsum(target, axis=2)
    draws = (sums <= rng.random((batch, width, 1)) * sums[..., -1:]).sum(axis=2)
    draws = np.minimum(draws, vocabulary - 1 - np.argmax(target[..., ::-1] > 0, axis=2))
    return draws, np.cumprod(draws[:, :-1] == drafted, axis=1).sum(axis=1) + 1

def doing(act):
    calls = []
    def sampler(target, draft, drafted, seed):
        calls.append(seed)
        if len(calls) > 3:
            act()
        return step(target, draft, drafted, seed)
    return sampler

held = []
exits = doing(lambda: sys.exit(0))
leaves = doing(lambda: os._exit(0))
killed = doing(lambda: os.kill(os.getpid(), signal.SIGKILL))
hangs = doing(lambda: time.sleep(600))
reads = doing(input)
copies = doing(os.fork)
interrupts = doing(lambda: (_ for _ in ()).throw(KeyboardInterrupt()))
closes = doing(lambda: os.closerange(0, 256))
writes = doing(lambda: [os.write(n, b"x\\n") for n in range(3, 9)])
hoards = doing(lambda: (time.sleep(0.5), held.append(np.ones(2**24)), time.sleep(600)))
grows = doing(lambda: held.append(np.ones(2**25)))
prints = doing(lambda: (print("printed"), os.write(1, b"written\\n")))
shuts = doing(lambda: sys.stdout.close())
raises = doing(lambda: np.seterr(all="raise"))
several = [leaves, step]
interrupted = [interrupts, step]
"""

#: What is said about samplers that break.
BROKEN = {
    "exits": "most likely: SystemExit: 0",
    "leaves": "most likely: its process ended with exit code 0",
    "killed": "most likely: its process was killed by SIGKILL",
    "hangs": "most likely: it gave no answer for 3 s",
    "reads": "most likely: EOFError",
    "copies": "most likely: a copy of its process",
    "interrupts": "most likely: KeyboardInterrupt",
    "closes": "most likely: it closed the pipe of its results",
    "writes": "most likely: it wrote where its results are sent",
    "grows": "GiB of memory",
}
#: Those that are tried every time.
QUICK = ("leaves",)
_SLOW = [pytest.mark.slow]
#: Checks, and limits that end what hangs or grows soon.
LIMITS = ("--effort", "quick", "--check", "contract", "--check", "determinism", "--memory-limit", "0.9")


@pytest.fixture(scope="module")
def sampler(tmp_path_factory):
    path = tmp_path_factory.mktemp("samplers") / "sampler.py"
    path.write_text(SAMPLER, encoding="utf-8")
    return path


def run(target, *options, seconds=60):
    """Run the command as a user does."""
    limits = (*LIMITS, "--time-limit", str(seconds))
    command = [sys.executable, "-m", "specsim", "conform", str(target), *limits, *options]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, stdin=subprocess.PIPE, check=False
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals and limits of this test are POSIX's")
@pytest.mark.parametrize("name", [pytest.param(n, marks=_SLOW if n not in QUICK else []) for n in BROKEN])
def test_sampler_that_leaves__is_broken(name, sampler):
    done = run(f"{sampler}:{name}", seconds=3 if name == "hangs" else 60)
    assert done.returncode == 4, done.stdout + done.stderr
    assert BROKEN[name] in done.stdout
    assert "broken: contract" in done.stdout
    assert "not run: the sampler broke in contract" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prints", "shuts", "raises"])
def test_sampler_that_is_only_odd__is_judged_and_standard_output_stays_clean(name, sampler):
    done = run(f"{sampler}:{name}", "--check", "joint-law", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["subjects"][0]["verdict"] == "lossless"
    if name == "prints":
        assert {"printed", "written"} <= set(done.stderr.split())


@pytest.mark.slow
def test_next_sampler_of_a_file__gets_a_process_of_its_own(sampler):
    done = run(f"{sampler}:several", "--check", "joint-law", "--json")
    assert done.returncode == 4
    assert [item["verdict"] for item in json.loads(done.stdout)["subjects"]] == ["broken", "lossless"]


@pytest.mark.parametrize("line", [pytest.param("sys.exit(0)", marks=_SLOW), "os._exit(0)"])
def test_import_that_leaves__is_broken(line, tmp_path):
    path = tmp_path / "leaving.py"
    path.write_text(
        f"import os, sys\n{line}\ndef step(target, draft, drafted, seed): pass\n", encoding="utf-8"
    )
    done = run(f"{path}:step")
    assert done.returncode == 4
    assert "while it was imported" in done.stdout.splitlines()[0]


def test_expected_failure__may_be_an_ended_process(sampler):
    done = run(f"{sampler}:leaves", "--expect-failure", "contract=it leaves", "--json")
    checks = json.loads(done.stdout)["subjects"][0]["checks"]
    assert [check["status"] for check in checks if check["name"] == "contract"] == ["expected failure"]
    assert done.returncode == 3


FAULT = """
import specsim.validation.conformance.evidence as ours

def raising(*arguments):
    raise TypeError("not expected")

ours.Evidence.components = raising
"""


@pytest.mark.parametrize("place", [(), ("--debug",)])
def test_fault_of_specsim__is_no_verdict(place, tmp_path):
    path = tmp_path / "faulty.py"
    path.write_text(SAMPLER + FAULT, encoding="utf-8")
    command = [sys.executable, "-m", "specsim", *place, "conform", f"{path}:step", "--check", "joint-law"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (70, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("specsim: internal error: TypeError: not expected (faulty.py:")
    assert "please report it" in last
    assert ("in raising" in done.stderr) == bool(place)


def test_process_whose_parent_is_gone__ends_without_a_word(sampler):
    request = {"target": f"{sampler}:step", "settings": {}, "path": sys.path, "key": "k"}
    command = [sys.executable, "-P", "-c", isolation._START]
    for text, code in (("", 0), (json.dumps(request), isolation.NO_CHANNEL)):
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        process.stdout.close()
        process.stdin.write(text)
        process.stdin.close()
        assert (process.wait(timeout=60), process.stderr.read()) == (code, "")
        process.stderr.close()


def test_memory_that_grows_until_the_limit_of_time__is_told(sampler, monkeypatch):
    monkeypatch.setattr(isolation, "GROWTH", 2.0**24)
    request = Request(target=f"{sampler}:hoards", settings={"only": ["contract"], "effort": "quick"})
    report = isolation.in_own_process(request, lambda *_: None, call_seconds=2.0)[0]
    assert report.diagnosis is not None
    assert "no answer for 2 s, and its memory grew by" in report.diagnosis.cause
    assert "--time-limit" in report.diagnosis.change


def test_interruption__ends_all_samplers_of_a_file(sampler):
    command = ["conform", f"{sampler}:interrupted", "--in-process", "--effort", "quick", "--json"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 130
    assert len(json.loads(done.stdout)["subjects"]) == 1
