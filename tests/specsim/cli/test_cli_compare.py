"""``specsim compare``."""

from __future__ import annotations

import json

from click.testing import CliRunner

from specsim.cli.group import main

PAIR = "random:contexts=3,horizon=4,seed=1,stationary=yes"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["compare", PAIR, *arguments, "--runs", "2e3"])
    assert result.exit_code == 0, result.output
    return result.output


def test_compare__prints_a_line_for_each_algorithm() -> None:
    lines = run("ratio:draft_length={1,2}", "over-acceptance:epsilon=1/4,draft_length=2").splitlines()
    assert [line.split()[0] for line in lines] == [
        "algorithm", "ratio:draft_length=1,bonus=yes", "ratio:draft_length=2,bonus=yes",
        "over-acceptance:epsilon=1/4,draft_length=2,bonus=yes",
    ]  # fmt: skip
    assert ["lossless" in line for line in lines[1:]] == [True, True, False]
    assert "lossy by TV" in lines[3]


def test_compare__json_has_every_number() -> None:
    found = json.loads(run("ratio:draft_length=2", "--seed", "5", "--json"))
    assert (found["runs"], found["seed"], found["horizon"]) == (2000, 5, 4)
    (row,) = found["algorithms"]
    assert row["output"] == "lossless"
    assert row["low_rejections"] <= row["mean_rejections"] <= row["high_rejections"]
    assert abs(row["exact_target_calls"] - row["mean_target_calls"]) < 0.2


def test_compare__bad_input_is_told() -> None:
    for arguments in ((), ("nothing",)):
        assert CliRunner().invoke(main, ["compare", PAIR, *arguments]).exit_code == 2
