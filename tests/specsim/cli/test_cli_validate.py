"""``specsim validate``: reports, exit codes, and one line for everything that goes wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray
from click.testing import CliRunner

import specsim
from specsim import ModelPair, Speculative
from specsim.cli import main
from specsim.validation.builders import mean_check
from specsim.validation.claims_model import Claim, ExactCheck, Verdict, counterexample, equal
from specsim.validation.mutants import Mutant
from specsim.validation.witnesses import Witnesses

ROOT = Path(specsim.__file__).resolve().parent.parent
PAIR = ModelPair.from_probabilities([[1.0]], [[1.0]], initial=[1], horizon=2, name="coin")


class Theory:
    """Two positions, each rejected with probability one half."""

    @staticmethod
    def expected_rejections(pair, algorithm):
        return 1.0

    @staticmethod
    def rejection_law(pair, algorithm):
        return np.array([0.25, 0.5, 0.25])


def simulate(pair, algorithm, *, runs, seed, **options):
    generator = np.random.Generator(np.random.PCG64(seed))
    return xarray.Dataset({"rejection_count": ("rejections", generator.multinomial(runs, [0.25, 0.5, 0.25]))})


def claim(claim_id, *checks, verdict=Verdict.HOLDS, mutants=()):
    return Claim(
        id=claim_id, title="Coins", statement="They fall.", source="tests", verdict=verdict, checks=checks,
        mutants=mutants,
    )  # fmt: skip


CLAIMS = (
    claim("test.mean", mean_check("mean", [(PAIR, Speculative())]), mutants=("loaded",)),
    claim(
        "test.erratum",
        ExactCheck("x", lambda witnesses, effort: [counterexample("here", True, "It is 1/2.", printed=0)]),
        verdict=Verdict.FAILS,
    ),
    claim("bad.sum", ExactCheck("x", lambda witnesses, effort: [equal("one and one", 3, 2)])),
)


def loaded(witnesses):
    return witnesses.replace(
        simulate=lambda *arguments, runs, **options: xarray.Dataset(
            {"rejection_count": ("rejections", np.array([0, 0, runs]))}
        )
    )


@pytest.fixture(autouse=True)
def coins(monkeypatch):
    """A registry of three claims about coins, and coins as witnesses."""
    mutants = (Mutant(name="loaded", description="Always two.", cite="tests", apply=loaded),)
    built = Witnesses(simulate=simulate, theory=Theory, enumerate_outcomes=None)
    monkeypatch.setattr("specsim.validation.registry.all_claims", lambda: CLAIMS)
    # None of them is known to another process.
    monkeypatch.setattr("specsim.validation.running.runner.all_claims", lambda: ())
    monkeypatch.setattr("specsim.validation.running.runner.as_built", lambda: built)
    monkeypatch.setattr("specsim.validation.running.kill_matrix.as_built", lambda: built)
    monkeypatch.setattr("specsim.validation.mutants.all_mutants", lambda: mutants)


def run(*arguments):
    return CliRunner().invoke(main, ["validate", *arguments])


def refused(*arguments):
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("specsim: error: ")
    return line


def test_agreement_and_disagreement():
    good = run("test.*", "--effort", "quick")
    assert good.exit_code == 0
    assert "2 of 2 findings confirmed." in good.stdout
    assert "2 statements about speculative decoding" in good.stdout
    assert "Result: agrees." in good.stdout
    assert "planned: 1 simulations, and 1 comparisons" in good.stderr
    assert "It is 1/2." not in good.stdout
    assert "It is 1/2." in run("test.*", "--effort", "quick", "--errata").stdout
    bad = run("--effort", "quick")
    assert bad.exit_code == 1
    assert "one and one: observed 3, expected 2" in bad.stdout


def test_same_output_every_time_and_for_any_threads():
    outputs = {run("--effort", "quick", "--threads", threads).stdout for threads in ("1", "2", "2")}
    assert len(outputs) == 1


def test_list():
    result = run("--list")
    assert result.exit_code == 0
    for one in CLAIMS:
        assert one.id in result.stdout
    document = json.loads(run("--list", "bad.*", "--json").stdout)
    assert [one["id"] for one in document["claims"]] == ["bad.sum"]


_OPTIONS = {"json": "--json-file", "junit": "--junit", "html": "--html"}


def test_reports_to_files(tmp_path, monkeypatch):
    monkeypatch.setattr("specsim.paper_figures.names", lambda: ("table-1",))
    files = {name: tmp_path / "new" / f"report.{name}" for name in ("json", "junit", "html")}
    options = [part for name, path in files.items() for part in (_OPTIONS[name], str(path))]
    result = run("test.*", "--effort", "quick", "--mutants", *options)
    assert result.exit_code == 0, result.output
    assert "✓ found" in result.stdout
    document = json.loads(files["json"].read_text())
    assert document["result"] == "agrees"
    assert document["mutants"]["complete"]
    assert ElementTree.parse(files["junit"]).getroot().get("failures") == "0"
    page = files["html"].read_text()
    assert "test.erratum" in page
    assert "loaded" in page
    assert page.count("data:image/svg+xml") == 1
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(
        p.name for p in files.values()
    )


def test_html__a_figure_that_fails_is_left_out_and_said(tmp_path, monkeypatch):
    def draw(name, **options):
        raise RuntimeError("no ink")

    monkeypatch.setattr("specsim.paper_figures.draw", draw)
    result = run("test.erratum", "--effort", "quick", "--html", str(tmp_path / "page.html"))
    assert result.exit_code == 0
    page = (tmp_path / "page.html").read_text()
    assert "figure-2a could not be drawn and is missing (RuntimeError: no ink)." in page


def test_json_to_standard_output_is_nothing_else():
    result = run("--effort", "quick", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["exit_code"] == 1


def test_surviving_mutant_fails_the_command(monkeypatch):
    harmless = Mutant(name="loaded", description="Fair.", cite="tests", apply=lambda witnesses: witnesses)
    monkeypatch.setattr("specsim.validation.mutants.all_mutants", lambda: (harmless,))
    result = run("test.*", "--effort", "quick", "--mutants")
    assert result.exit_code == 1
    assert "SURVIVES" in result.stdout


def test_undecided_is_3(monkeypatch):
    import dataclasses

    from specsim.validation.running import effort

    tiny = dataclasses.replace(effort.QUICK, max_runs=100)
    monkeypatch.setitem(effort.EFFORTS, "quick", tiny)
    result = run("test.mean", "--effort", "quick")
    assert result.exit_code == 3
    assert "undecided" in result.stdout


def test_resume(tmp_path):
    first = run("test.*", "--effort", "quick", "--resume", str(tmp_path / "kept"))
    assert first.exit_code == 0
    kept = sorted(path for path in (tmp_path / "kept").rglob("*") if path.is_file())
    assert [path.suffix for path in kept] == [".json"]
    assert run("test.*", "--effort", "quick", "--resume", str(tmp_path / "kept")).stdout == first.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "claim 'nonsense' is unknown"),
        (["test.mena"], "did you mean test.mean"),
        (["--effort", "huge"], "Invalid value for '--effort'"),
        (["--alpha", "0"], "alpha is 0"),
        (["--alpha", "x"], "Invalid value for '--alpha'"),
        (["--seed", "-1"], "seed is -1"),
        (["--threads", "0"], "threads is 0"),
        (["--json-file", "a.json", "--html", "a.json"], "named for two reports"),
    ],
)
def test_bad_input(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words in refused(*arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--json-file", "--junit", "--html"])
def test_outputs_are_checked_before_any_work(option, tmp_path, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("work was begun")

    monkeypatch.setattr("specsim.validation.running.runner.validate", never)
    assert "it is a folder" in refused(option, str(tmp_path))
    (tmp_path / "file").write_text("")
    line = refused(option, str(tmp_path / "file" / "report"))
    assert f"cannot write {tmp_path / 'file' / 'report'}" in line


def test_resume__folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    assert "give a folder" in refused("--resume", str(tmp_path / "file"), "test.mean")


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(tmp_path):
    command = [
        sys.executable,
        "-m",
        "specsim",
        "validate",
        "yin2024.theorem-1-rejections",
        "--effort",
        "deep",
    ]
    process = subprocess.Popen(
        [*command, "--resume", str(tmp_path / "kept")],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "COLUMNS": "110"},
    )  # fmt: skip
    try:
        for line in process.stderr:
            if "planned" in line:
                break
        while not list((tmp_path / "kept").rglob("*.npz")) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert "Result: interrupted." in out
    names = [path.name for path in (tmp_path / "kept").rglob("*")]
    assert any(name.endswith(".npz") for name in names)
    assert not any(name.startswith(".") for name in names)
