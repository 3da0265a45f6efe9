"""``specsim systems``: exact beside simulated, in tables and JSON, and bad input in one line."""

import json

import pytest
from click.testing import CliRunner

from specsim import Clock, InputError, Speculative, model_chain, paper_pair, theory, time_systems
from specsim.cli.group import main

SYSTEMS = ("pearl:draft_length={3,2}", "speculative:draft_length=2")


def run(*arguments):
    return CliRunner().invoke(main, ["systems", *arguments])


def test_systems__are_listed():
    assert "2408.11850" in run().output
    listed = json.loads(run("--json").stdout)["systems"]
    assert {"name": "pearl", "spelling": "pearl:draft_length=..."}.items() <= listed[0].items()


def test_systems__are_timed_exactly_and_by_simulation():
    pair, clock = paper_pair(12), Clock(draft=0.25, overhead=0.125)
    result = run("paper:12", *SYSTEMS, "--costs", "draft=0.25,overhead=0.125", "--runs", "4e3", "--json")
    document = json.loads(result.stdout)
    rows = document["systems"]
    assert [row["system"].split(",")[0] for row in rows] == [
        "pearl:draft_length=3", "pearl:draft_length=2", "speculative:draft_length=2",
    ]  # fmt: skip
    assert document["plain_time"] == 12
    assert rows[1]["exact_time"] == pytest.approx(theory.expected_pearl_time(pair, 2, clock))
    assert rows[2]["exact_time"] == pytest.approx(
        theory.expected_time(pair, Speculative(draft_length=2), clock)
    )
    for row in rows:
        assert row["exact_speed_up"] == pytest.approx(12 / row["exact_time"])
        assert row["speed_up"] == pytest.approx(12 / row["time"])
        assert 0 < row["time_error"] < 0.1
        assert abs(row["time"] - row["exact_time"]) < 6 * row["time_error"]
        assert row["speed_up_error"] == pytest.approx(row["time_error"] * 12 / row["time"] ** 2, rel=0.02)
    wide = CliRunner(env={"COLUMNS": "160"})
    command = ["systems", "paper:12", "pearl:draft_length=2", "--costs", "draft=0.25", "--runs", "50"]
    printed = wide.invoke(main, command).output
    assert "plain decoding" in printed
    assert "pearl:draft_length=2" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["paper:12"], "no system is given for the pair 'paper:12'"),
        (["paper:12", "pearl:draft_length=2"], "costs are missing"),
        (
            ["paper:12", "pearll:draft_length=2", "--costs", "draft=1"],
            "unknown system 'pearll'; did you mean pearl?",
        ),
        (["paper:12", "pearl", "--costs", "draft=1"], "draft_length is missing; write pearl:draft_length="),
        (["paper:12", "pearl:draft_length=0", "--costs", "draft=1"], "draft_length is 0"),
        (["paper:12", "pearl:draft_length=2", "--costs", "drat=1"], "did you mean draft"),
        (["papr:12", "pearl:draft_length=2", "--costs", "draft=1"], "did you mean paper"),
        (["paper:12", "pearl:draft_length=2", "--costs", "draft=1", "--runs", "0"], "0 is out of range"),
        (["paper:12", "pearl:draft_length=2", "--costs", "draft=1", "--horizon", "99"], "horizon is 99"),
    ],
)
def test_bad_input__is_told_in_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["systems", *arguments])
    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert message in error
    assert error.count("\n") == 1


def test_other_systems__are_timed():
    pair, clock = paper_pair(6), Clock(draft=0.125)
    spelled = ("ssd:draft_length=2,fan_out=2-1-1", "polybasic:lengths=3-2,target_share=0.5,cost=0.25")
    found = time_systems(pair, spelled, clock, runs=2000)
    assert tuple(row.system for row in found) == spelled
    chain = model_chain(pair, 0.5)
    assert [row.exact_time for row in found] == pytest.approx(
        [
            theory.expected_ssd_time(pair, 2, clock, fan_out=(2, 1, 1)),
            theory.expected_polybasic_time(chain, (3, 2), clock, middle=[0.25]),
        ]
    )
    for row in found:
        assert abs(row.time - row.exact_time) < 6 * row.time_error
    with pytest.raises(InputError, match="fan_out has length 2"):
        time_systems(pair, "ssd:draft_length=3,fan_out=2-1", clock, runs=10)
    with pytest.raises(InputError, match="lengths is '3-x'; give whole numbers such as 4-2"):
        time_systems(pair, "polybasic:lengths=3-x,target_share=0.5,cost=0.25", clock, runs=10)


def test_time_systems__refuses_what_is_no_system():
    with pytest.raises(InputError, match="systems is empty"):
        time_systems("paper:5", [], "draft=1")
    with pytest.raises(InputError, match="systems has 3"):
        time_systems("paper:5", [3], "draft=1")  # type: ignore[list-item]
    with pytest.raises(InputError, match="clock is 3"):
        time_systems("paper:5", "pearl:draft_length=1", 3)
