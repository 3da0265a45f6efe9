"""What the import of a sampler changes for the whole process, and what it may raise."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest

from specsim.errors import InputError
from specsim.validation.conformance.calling import Caller, SubjectError
from specsim.validation.conformance.results import Verdict
from specsim.validation.conformance.running import check_sampler
from specsim.validation.conformance.subjects import Subject, load_subjects
from specsim.validation.conformance.surroundings import described

STEP = "def step(target, draft, drafted, seed): return np.float64(1.0) / np.float64(0.0)\n"
ROWS = np.full((2, 3, 4), 0.25), np.full((2, 2, 4), 0.25), np.array([[1, 2], [3, 0]])


def loaded(tmp_path, text):
    path = tmp_path / "sampler.py"
    path.write_text(text, encoding="utf-8")
    return load_subjects(f"{path}:step")[0]


def test_settings_of_an_import__hold_in_the_calls_of_its_sampler_alone(tmp_path):
    errors, filters, limit = np.geterr(), list(warnings.filters), sys.getrecursionlimit()
    text = (
        "import sys, warnings\nimport numpy as np\nnp.seterr(all='raise')\nwarnings.simplefilter('error')\n"
    )
    subject = loaded(tmp_path, text + "sys.setrecursionlimit(200)\n" + STEP)
    assert (np.geterr(), list(warnings.filters), sys.getrecursionlimit()) == (errors, filters, limit)
    with pytest.raises(SubjectError, match="FloatingPointError: divide by zero"):
        Caller(subject=subject, seed=1).step(*ROWS)
    assert np.geterr() == errors


def test_import_without_settings__leaves_those_of_the_caller(tmp_path):
    subject = loaded(tmp_path, "import numpy as np\n" + STEP)
    assert subject.numpy_errors is None
    with np.errstate(all="raise"):
        caller = Caller(subject=subject, seed=1)
    with pytest.raises(SubjectError, match="FloatingPointError"):
        caller.step(*ROWS)


def test_settings_of_whoever_tests__are_not_those_of_the_checks(samplers):
    with np.errstate(all="raise"):
        report = check_sampler(samplers.ratio, rule="ratio", effort=samplers.light, only=["joint-law"])
    assert report.verdict is Verdict.LOSSLESS, report.sentence


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("class Odd(BaseException): pass\nraise Odd('no')", "cannot be imported: Odd: no"),
        (
            "class Mute(Exception):\n    def __str__(self): raise OSError\nraise Mute",
            "its text raises OSError",
        ),
        ("from .near import step", r"python -m specsim conform \S+\.sampler:name in the folder"),
        (
            "class Lazy:\n    def __iter__(self): raise KeyError(3)\nstep = Lazy()",
            "cannot be read: KeyError: 3",
        ),
    ],
)
def test_import_that_raises__is_bad_input(line, words, tmp_path):
    with pytest.raises(InputError, match=words):
        loaded(tmp_path, line + "\n")


def test_folder__is_told_from_a_file(tmp_path):
    with pytest.raises(InputError, match=r"is a folder; run python -m specsim conform package\.module:name"):
        load_subjects(f"{tmp_path}:step")


class Mute(Exception):
    def __str__(self):
        raise RuntimeError


def test_exception_without_a_text__is_described():
    assert described(Mute()) == "Mute: (its text raises RuntimeError)"
    assert described(ValueError()) == "ValueError"

    def run(target, draft, drafted, seed):
        raise Mute

    caller = Caller(subject=Subject(name="mute", protocol="step", run=run), seed=1)
    with pytest.raises(SubjectError, match=r"Mute: \(its text raises RuntimeError\) \(run, line"):
        caller.step(*ROWS)
