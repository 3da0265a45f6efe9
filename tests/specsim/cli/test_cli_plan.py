"""``specsim plan``: what is printed and written, and bad input in one line with exit code 2."""

import json

import pytest
from click.testing import CliRunner

from specsim.cli.group import main


def run(*arguments):
    return CliRunner().invoke(main, ["plan", *arguments])


@pytest.fixture
def log(tmp_path):
    place = tmp_path / "log.json"
    place.write_text(json.dumps({"acceptance_histogram": [200, 240, 224, 336], "num_spec_tokens": 3}))
    return str(place)


def test_plan__prints_the_answer_first(log, tmp_path):
    page = tmp_path / "page.html"
    result = run(log, "--costs", "draft=0.1", "--emit", "vllm", "--html", str(page))
    assert result.exit_code == 0
    assert result.output.startswith("Best: draft_length=3")
    assert "--speculative-config" in result.output
    assert "cannot" not in result.output.split("\n\n")[0] or "decide" in result.output
    assert page.read_text().startswith("<!doctype html>")


def test_plan__as_json(log):
    result = run(log, "--costs", "draft=0.1", "--json", "--emit", "sglang")
    document = json.loads(result.output)
    assert document["recommended"]["draft_length"] == 3
    assert document["choices"][0]["rows"][0]["label"] == "plain"
    assert "--speculative-num-steps 3" in document["configuration"]


def test_plan__of_a_pair_with_chosen_rules():
    pair = "random:contexts=3,horizon=9,seed=1,stationary=yes"
    result = run(pair, "--algorithm", "block:draft_length={1..3}", "--costs", "draft=0.1", "--batch", "1,8")
    assert result.exit_code == 0
    assert result.output.count("block:draft_length=3,bonus=yes") >= 2


def test_plan__lists_its_formats():
    assert "vllm-metrics" in run("--help").output


def test_bad_input__is_told_in_one_line(log, capsys):
    for arguments in (
        [log, "--batch", "x"],
        ["no-such-file"],
        [log, "--costs", "draft=-1"],
        [log, "--level", "7"],
    ):
        with pytest.raises(SystemExit) as caught:
            main(["plan", *arguments])
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith("specsim: error: ")
        assert error.count("\n") == 1
