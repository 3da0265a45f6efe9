"""``specsim figures``."""

import json

import pytest
from click.testing import CliRunner

from specsim.cli import main
from specsim.paper_figures import names, registry
from specsim.paper_figures.comparison import exact


def run(*arguments):
    return CliRunner().invoke(main, ["figures", *arguments])


def test_list__names_every_figure():
    result = run("--list")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(names())
    document = json.loads(run("--list", "--json").stdout)
    assert [figure["name"] for figure in document["figures"]] == list(names())


def test_figures__are_written_and_compared(tmp_path):
    result = run("table-1", "figure-4a", "table-1", "--out", str(tmp_path))
    assert result.exit_code == 0
    assert "Our results and the paper" in result.stdout
    assert "2 drawn" in result.stdout
    assert "[1/2] table-1" in result.stderr
    written = {path.name for path in tmp_path.iterdir()}
    assert {"table-1.png", "table-1.svg", "table-1.nc", "figure-4a.csv", "comparison.md"} <= written


def test_json__is_the_whole_of_standard_output(tmp_path):
    result = run("table-2", "--json", "--out", str(tmp_path))
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["passed"] is True
    assert document["figures"][0]["comparison"][0]["ours"] == 64.5


def test_exit_code__is_1_when_a_comparison_fails(tmp_path, monkeypatch):
    module = registry.load("figure-4a")
    monkeypatch.setattr(module, "comparison", lambda dataset: [exact("x", 1.0, 2.0, "nowhere")])
    result = run("figure-4a", "--out", str(tmp_path))
    assert result.exit_code == 1
    assert "1 FAIL" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("figure-9",), "figure 'figure-9' is unknown; did you mean"),
        (("table-1", "--effort", "huge"), "Invalid value for '--effort'"),
        (("table-1", "--seed", "-1"), "seed is -1"),
    ],
)
def test_bad_input__is_one_line_and_exit_code_2(tmp_path, arguments, message):
    result = run(*arguments, "--out", str(tmp_path / "figures"))
    assert result.exit_code == 2
    assert result.stdout == ""
    errors = [line for line in result.stderr.splitlines() if not line.startswith("[")]
    assert len(errors) == 1
    assert message in errors[0]


def test_unwritable_folder__is_found_out_before_the_work(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("x")
    result = run("figure-5c", "--out", str(blocked / "below"))
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
    assert "[1/" not in result.stderr
