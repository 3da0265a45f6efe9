"""``specsim compare``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from specsim.cli.group import main

PAIR = "random:contexts=3,horizon=4,seed=1,stationary=yes"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["compare", PAIR, *arguments, "--runs", "2e3"])
    assert result.exit_code == 0, result.output
    return result.output


def test_compare__prints_a_line_for_each_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    lines = run("ratio:draft_length={1,2}", "over-acceptance:epsilon=1/4,draft_length=2").splitlines()
    lines = lines[lines.index("") + 1 :]
    assert [line.split()[0] for line in lines[:4]] == [
        "algorithm", "ratio:draft_length=1,bonus=yes", "ratio:draft_length=2,bonus=yes",
        "over-acceptance:epsilon=1/4,draft_length=2,bonus=yes",
    ]  # fmt: skip
    assert [line.split()[1] for line in lines[1:4]] == ["lossless", "lossless", "lossy"]
    assert "lossy by TV" in lines[3]


def test_compare__json_has_every_number() -> None:
    found = json.loads(run("ratio:draft_length=2", "--seed", "5", "--json"))
    assert (found["runs"], found["seed"], found["horizon"]) == (2000, 5, 4)
    (row,) = found["algorithms"]
    assert row["output"] == "lossless"
    assert row["low_rejections"] <= row["mean_rejections"] <= row["high_rejections"]
    assert abs(row["exact_target_calls"] - row["mean_target_calls"]) < 0.2


def test_compare__writes_page_and_picture(tmp_path: Path) -> None:
    page, picture = tmp_path / "page.html", tmp_path / "picture.svg"
    run("ratio:draft_length=2", "--html", str(page), "--plot", str(picture))
    assert "specsim compare" in page.read_text()
    assert picture.read_text().lstrip().startswith("<?xml")
    run("ratio:draft_length=2", "--plot", str(tmp_path / "picture.png"))
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_compare__bad_input_is_told() -> None:
    for arguments, words in (
        ((), ""),
        (("nothing",), "nothing"),
        (("ratio", "--plot", "picture.gif"), "give a name that ends in .png, .svg, .pdf"),
        (("ratio", "--html", "/dev/null/page.html"), "/dev/null"),
        (("no_file.py:rule",), "no_file.py"),
    ):
        result = CliRunner().invoke(main, ["compare", PAIR, *arguments])
        assert result.exit_code in (2, 74), arguments
        assert words in result.output
        assert "Traceback" not in result.output
