"""`specsim.testing`: one generator of checks, three ways to use it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import pytest

from specsim.testing import ConformanceError, Subject, checks_for

SAMPLER = """
import numpy as np

def step(target, draft, drafted, seed):
    rng = np.random.default_rng(seed)
    batch, length = drafted.shape
    tokens = np.zeros((batch, length + 1), dtype=np.int64)
    lengths = np.ones(batch, dtype=np.int64)
    for b in range(batch):
        weights = target[b, 0] / target[b, 0].sum()
        draw = rng.choice(len(weights), p=weights)
        tokens[b, 0] = draw
        if draw == drafted[b, 0]:
            tokens[b, 1] = rng.choice(len(weights), p=target[b, 1] / target[b, 1].sum())
            lengths[b] = 2
    return tokens, lengths

def biased(target, draft, drafted, seed):
    tokens, lengths = step(target, draft, drafted, seed)
    tokens[:, 0] = drafted[:, 0]
    return tokens, lengths
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sampler.py").write_text(SAMPLER, encoding="utf-8")
    return tmp_path


def run(folder, code, *arguments):
    return subprocess.run(
        [sys.executable, *arguments, *(["-c", textwrap.dedent(code)] if code else [])],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_checks_for__yields_functions_that_raise(samplers_of_tests):
    wrong = list(checks_for(samplers_of_tests.biased, effort="quick", only=["contract", "joint-law"]))
    assert [check.name for check in wrong] == ["contract", "joint-law"]
    wrong[0]()
    with pytest.raises(ConformanceError, match="joint-law"):
        wrong[1]()
    assert wrong[1].result.log10_e > 7
    assert repr(wrong[1]) == "biased-joint-law"


def test_checks_for__shares_its_experiments(samplers_of_tests):
    calls = 0

    def counting(target, draft, drafted, seed):
        nonlocal calls
        calls += 1
        return samplers_of_tests.step(target, draft, drafted, seed)

    subject = Subject(name="counting", protocol="step", run=counting, max_batch=512)
    first, second = checks_for(subject, effort="quick", only=["first-token", "joint-law"])
    first()
    before = calls
    second()
    assert calls == before > 10


@pytest.fixture(scope="module")
def samplers_of_tests():
    from types import SimpleNamespace

    names: dict[str, Any] = {}
    exec(compile(SAMPLER, "sampler.py", "exec"), names)
    return SimpleNamespace(step=names["step"], biased=names["biased"])


def test_without_pytest__everything_but_the_decorator_works(folder):
    result = run(
        folder,
        """
        import sys
        sys.modules["pytest"] = None
        from sampler import biased
        from specsim.testing import check_sampler
        report = check_sampler(biased, effort="quick", only=["joint-law"])
        print(report.verdict.value, report.exit_code)
        """,
    )
    assert result.stdout.split() == ["biased", "1"], result.stderr


def test_pytest__a_test_for_every_check_and_strict_expected_failures(folder):
    (folder / "test_sampler.py").write_text(
        textwrap.dedent(
            """
            from sampler import biased, step
            from specsim.testing import parametrize_with_checks

            @parametrize_with_checks([step], only=["contract", "joint-law"], effort="deep")
            def test_right(check):
                check()

            @parametrize_with_checks([biased], only=["contract", "joint-law"])
            def test_wrong(check):
                check()

            @parametrize_with_checks(
                [biased, step], only=["joint-law"], expected_failures={"joint-law": "known"}
            )
            def test_known(check):
                check()
            """
        ),
        encoding="utf-8",
    )
    result = run(
        folder, "", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rA",
        "--specsim-effort", "quick", "test_sampler.py",
    )  # fmt: skip
    lines = result.stdout
    assert "PASSED test_sampler.py::test_right[step-joint-law]" in lines, lines + result.stderr
    assert "FAILED test_sampler.py::test_wrong[biased-joint-law]" in lines
    assert "XFAIL test_sampler.py::test_known[biased-joint-law] - known" in lines
    assert "FAILED test_sampler.py::test_known[step-joint-law] - [XPASS(strict)] known" in lines
    assert "observed" in lines
    assert "parametrizing.py" not in lines, "the user is shown the report, not the way to it"
    assert "effort quick" in lines


def test_plugin__imports_nothing_heavy():
    code = """
        import sys
        import specsim.testing.pytest_plugin
        print([name for name in ("scipy", "xarray", "numba", "matplotlib", "torch") if name in sys.modules])
    """
    result = run(None, code)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_facade__every_name_is_there():
    import specsim.testing

    for name in specsim.testing.__all__:
        assert getattr(specsim.testing, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = specsim.testing.nothing
