"""docs/json.md: the fields that it lists are those that the commands print."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from specsim.cli import main
from specsim.cli.output import plain
from specsim.support.expansion import expand
from specsim.testing import check_sampler
from specsim.validation.conformance.reports import report_json

PAGE = Path(__file__).parents[2] / "docs" / "json.md"
PAIR = "random:contexts=2,horizon=3,seed=1"
ALGORITHM = "speculative:draft_length=2"
#: Objects whose keys are names of other things.
OPEN = {"too_large", "theory_silent", "provenance.versions", "subjects[].script"}
OPEN |= {"subjects[].reached", "subjects[].checks[].reached"}
#: Commands that print all fields that they have.
COMMANDS = {
    "expect": ("expect", PAIR, ALGORITHM, "--exact"),
    "simulate": ("simulate", PAIR, ALGORITHM, "--runs", "100", "--seed", "1"),
    "sweep": ("sweep", "--pair", PAIR, "--algorithm", ALGORITHM, "--runs", "100", "--seed", "1"),
    "compare": ("compare", PAIR, ALGORITHM, "--runs", "100", "--costs", "draft=0.1"),
    "plan": ("plan", PAIR, "--algorithm", ALGORITHM, "--emit", "vllm"),
}
#: The same for what takes seconds.
SLOW = {
    "validate": ("validate", "yin2024.theorem-5", "--effort", "quick"),
    "figures": ("figures", "figure-3-schematic", "--effort", "quick"),
}


def documented(command):
    section = re.search(rf"^## {command}\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert section is not None
    fields = re.findall(r"^\| `(.*?)` \|", section[1], re.M)
    return {name for field in fields for name in expand(field)}


def printed(value, path=""):
    if path in OPEN:
        yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from printed(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict | list):
        for item in value:
            yield from printed(item, f"{path}[]")
            if isinstance(item, list):
                break
    else:
        yield path


def check(command, document):
    assert set(printed(document)) == documented(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_fields(command):
    found = CliRunner().invoke(main, [*COMMANDS[command], "--json"])
    assert found.exit_code == 0, found.output
    check(command, json.loads(found.stdout))


@pytest.mark.slow
@pytest.mark.parametrize("command", SLOW)
def test_fields__slow(command, tmp_path):
    more = ("--out", str(tmp_path)) if command == "figures" else ()
    found = CliRunner().invoke(main, [*SLOW[command], *more, "--json"])
    check(command, json.loads(found.stdout))


@pytest.mark.slow
def test_fields__conform():
    def accept_everything(target, draft, drafted, seed):
        coins = np.random.default_rng(seed).random(len(target))[:, None]
        bonus = (coins > target[:, -1].cumsum(axis=-1)).sum(axis=-1)
        return np.column_stack([drafted, bonus]), np.full(len(drafted), drafted.shape[1] + 1)

    report = check_sampler(accept_everything, effort="quick", only=["first-token"])
    check("conform", plain(report_json([report])))
