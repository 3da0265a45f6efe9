"""The benchmark's contenders are right, a wrong one is refused, and C gives the bits of the alias engine."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import (
    ceilings,
    checks,
    command as cli_bench,
    exact,
    literal,
    runner,
    scaling,
    startup,
    systems,
    timing,
)
from benchmarks.contenders import all_contenders, batches, c_reference
from benchmarks.contenders.base import Contender
from benchmarks.workloads import WORKLOADS, Workload
from specsim import paper_pair, random_pair

RUNS = 2**14
PAIRS = {
    "small": paper_pair(13),
    "stationary": random_pair(contexts=8, horizon=9, seed=1, stationary=True),
    "middle": random_pair(contexts=70, horizon=5, seed=2, family="sparse"),
}
compiled = pytest.mark.skipif(c_reference.compiler() is None, reason="no C compiler")


@pytest.fixture(scope="module")
def contenders():
    """Return all contenders by name; the C ones are compiled for it."""
    return {contender.name: contender for contender in all_contenders()}


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_contenders__agree_with_theory(contenders, pair):
    for name, contender in contenders.items():
        run = contender.prepare(PAIRS[pair])
        if run is None:
            assert "permute" in name
            assert PAIRS[pair].tokens > 8
        else:
            assert checks.disagreement(run(RUNS, 3), RUNS, checks.laws(PAIRS[pair])) is None, name


@compiled
@pytest.mark.parametrize("runs", [1, 63, 2048, 5001])
@pytest.mark.parametrize("pair", PAIRS)
def test_c__has_the_bits_of_the_alias_engine(contenders, pair, runs):
    expected = contenders["specsim alias"].prepare(PAIRS[pair])(runs, 2**64 - 5)
    for name in ("C gather", "C permute"):
        run = contenders[name].prepare(PAIRS[pair]) if name in contenders else None
        if run is not None:
            answer = run(runs, 2**64 - 5)
            for field in ("by_step", "rejection_count", "token_count"):
                assert np.array_equal(getattr(answer, field), getattr(expected, field)), (name, field)


@pytest.mark.slow
@compiled
@pytest.mark.parametrize("rule", ["ratio", "block"])
@pytest.mark.parametrize("tokens", [7, 300])
def test_c__has_the_bits_of_the_literal_engine_where_both_scan_rows(rule, tokens):
    ours, theirs = literal.calls(rule, tokens, True)
    for expected, found in zip(ours(200, 5), theirs(200, 5), strict=True):
        assert np.array_equal(expected, found)


@compiled
@pytest.mark.parametrize("system", sorted({system for system, _, _ in systems.CASES}))
def test_c__has_the_bits_of_the_systems(system):
    ours, theirs = systems.calls(system, 7)
    for expected, found in zip(ours(200, 5), theirs(200, 5), strict=True):
        assert np.array_equal(expected, found)
    assert any((a != b).any() for a, b in zip(ours(200, 5), theirs(200, 6), strict=True))


def shifted(field):
    def change(answer):
        counts = getattr(answer, field).copy()
        counts.flat[0] -= 400
        counts.flat[1] += 400
        return replace(answer, **{field: counts})

    return change


WRONG = {
    "by_step": shifted("by_step"),
    "rejection_count": lambda answer: replace(answer, rejection_count=np.roll(answer.rejection_count, 1)),
    "token_count": shifted("token_count"),
    "token_count sums": lambda answer: replace(answer, token_count=answer.token_count - 1),
    "shape": lambda answer: replace(answer, by_step=answer.by_step[1:]),
}


@pytest.mark.parametrize("what", WRONG)
def test_disagreement__names_what_is_wrong(contenders, what):
    pair = PAIRS["small"]
    answer = WRONG[what](contenders["specsim alias"].prepare(pair)(RUNS, 3))
    assert what in checks.disagreement(answer, RUNS, checks.laws(pair))


def test_measure__does_not_time_a_wrong_contender(contenders):
    right = contenders["specsim alias"]

    def doubled(answer):
        return replace(answer, by_step=answer.by_step * 2)

    def prepare(pair):
        run = right.prepare(pair)
        return lambda runs, seed: doubled(run(runs, seed))

    wrong = Contender(name="wrong", note="counts rejections twice", prepare=prepare)
    workload = Workload(name="tiny", pair=lambda: PAIRS["small"], least_tokens_per_second=1.0)
    timings = runner.measure(workload, [right, wrong], repetitions=2, seconds=0.001, report=lambda line: None)
    assert [len(timing.nanoseconds) for timing in timings] == [2, 0]
    assert timings[0].problem is None
    assert "by_step" in timings[1].problem
    assert runner.rates(timings, workload)[0]["met"]


def test_command__writes_json_and_refuses_unknown_names(tmp_path, monkeypatch):
    from specsim.cli.group import main

    small = Workload(name="tiny", pair=lambda: PAIRS["small"], least_tokens_per_second=1.0)
    monkeypatch.setattr(runner, "WORKLOADS", [small])
    monkeypatch.setattr("benchmarks.workloads.WORKLOADS", [small])
    arguments = [
        "bench",
        "engines",
        "--repetitions",
        "2",
        "--seconds",
        "0.001",
        "--contender",
        "specsim alias",
    ]
    file = tmp_path / "bench.json"
    done = CliRunner().invoke(main, [*arguments, "--contender", "NumPy alias", "--json-file", str(file)])
    assert done.exit_code == 0, done.output
    document = json.loads(file.read_text())
    assert [row["contender"] for row in document["timings"]] == ["specsim alias", "NumPy alias"]
    assert all(row["median"] > 0 and len(row["nanoseconds"]) == 2 for row in document["timings"])
    assert document["ratios"][0]["against"] == "specsim alias"
    assert "1e9 tokens/s" in done.output
    done = CliRunner().invoke(main, ["bench", "--contender", "Fortran"])
    assert done.exit_code == 2
    assert "contender is 'Fortran'; give one of: specsim lockstep" in done.output


def test_batches__agree_with_theory_and_are_not_taken_for_one_another():
    pair = PAIRS["middle"]
    found = {contender.name: contender for contender in batches.contenders()}
    one, four = (checks.laws(pair, found[f"lockstep M={drafts}"].algorithm) for drafts in (1, 4))
    for engine in ("lockstep", "alias"):
        answer = found[f"{engine} M=4"].prepare(pair)(RUNS, 3)
        assert checks.disagreement(answer, RUNS, four) is None
        assert "expected" in checks.disagreement(answer, RUNS, one)


@pytest.mark.parametrize("pair", PAIRS)
def test_ceilings__read_what_they_say_in_c_and_in_numba(pair, monkeypatch):
    for ceiling in ceilings.ceilings():
        assert ceilings.problem(ceiling, PAIRS[pair]) is None
    monkeypatch.setattr(c_reference, "load", lambda: None)
    for ceiling in ceilings.ceilings():
        assert "Numba" in ceiling.note
        assert ceilings.problem(ceiling, PAIRS[pair]) is None


def test_measure__does_not_time_a_wrong_ceiling_and_relates_contenders_to_right_ones(contenders):
    right, other = ceilings.ceilings()
    wrong = replace(other, prepare=lambda pair: lambda runs, seed: 0)
    workload = Workload(name="tiny", pair=lambda: PAIRS["small"], least_tokens_per_second=1.0)
    timings = runner.measure(
        workload,
        [contenders["specsim lockstep"]],
        repetitions=2,
        seconds=0.001,
        report=lambda line: None,
        limits=[right, wrong],
    )
    assert [len(timing.nanoseconds) for timing in timings] == [2, 2, 0]
    assert "sum is 0" in timings[2].problem
    assert len(timings[0].fixed) == 3
    (row,) = runner.fractions(timings)
    assert (row["contender"], row["ceiling"]) == ("specsim lockstep", "random words")


def test_scaling__finds_exponents():
    values = (2, 4, 8, 16)
    assert scaling.exponent(values, [3.0 * value**1.5 for value in values]) == pytest.approx(1.5)


def test_scaling__row_is_checked_first(monkeypatch):
    sweep = scaling.Sweep(
        quantity="horizon",
        values=(4, 8),
        at="tiny",
        make=lambda horizon: (scaling._pair(4, horizon), scaling.Speculative(), 2**13),
        most={"lockstep": 50.0},
    )
    row = scaling._row(sweep, "lockstep", sweep.values, 2)
    assert row["met"]
    assert np.shape(row["seconds"]) == (2, 2)
    assert row["low"] <= row["exponent"] <= row["high"]
    answer = scaling._answer
    monkeypatch.setattr(
        scaling, "_answer", lambda *given: replace(answer(*given), by_step=answer(*given).by_step * 2)
    )
    row = scaling._row(sweep, "lockstep", sweep.values, 2)
    assert "horizon 4: by_step" in row["problem"]
    assert "seconds" not in row


def test_exact__times_nothing_when_methods_disagree(monkeypatch):
    monkeypatch.setattr(literal, "CASES", [("ratio", 7, True, 1e9, True)])
    monkeypatch.setattr(exact, "SIZES", [(7, 5, False, 1.0, False), (9, 5, True, None, True)])
    (row,) = exact.measure(repetitions=2, quick=True, report=lambda line: None)
    assert len(row["seconds"]) == 2
    monkeypatch.setattr(
        exact, "calls_of", lambda pair: {"plain": lambda: 1, "expected_rejections": lambda: 2}
    )
    (row,) = exact.measure(repetitions=2, quick=True, report=lambda line: None)
    assert row["problem"] == "methods disagree"
    assert row["seconds"] == []


def test_startup__counts_the_time_of_the_process():
    wall, cpu = startup.spend(["-c", "sum(range(3_000_000))"])
    assert wall > 0
    assert cpu > 0
    with pytest.raises(RuntimeError, match="ended with 3"):
        startup.spend(["-c", "raise SystemExit(3)"])


@pytest.mark.slow
def test_command__measures_the_parts_asked_for(tmp_path, monkeypatch):
    from specsim.cli.group import main

    small = Workload(name="tiny", pair=lambda: PAIRS["small"], least_tokens_per_second=1.0)
    monkeypatch.setattr(runner, "WORKLOADS", [small])
    monkeypatch.setattr(literal, "CASES", [("ratio", 7, True, 1e9, True)])
    monkeypatch.setattr(systems, "CASES", [("PEARL", 7, True)])
    monkeypatch.setattr(systems, "MOST_QUOTIENT", 1e9)
    monkeypatch.setattr(systems, "MOST_NANOSECONDS", 1e9)
    monkeypatch.setattr(exact, "SIZES", [(7, 5, False, 1.0, False)])
    monkeypatch.setattr(scaling, "SWEEPS", [])
    monkeypatch.setattr(scaling, "ENGINES", ())
    monkeypatch.setattr(startup, "WARM", [("nothing", ["-c", ""], 60.0)])
    file = tmp_path / "bench.json"
    arguments = ["--quick", "--repetitions", "1", "--seconds", "0.001", "--json-file", str(file)]
    done = CliRunner().invoke(
        main,
        ["bench", "ceilings", "batch", "literal", "systems", "exact", "scaling", "startup", *arguments],
    )
    assert done.exit_code == 0, done.output
    document = json.loads(file.read_text())
    names = [row["contender"] for row in document["timings"]]
    assert names[:2] == ["random words", "random gathers"]
    assert "lockstep M=16" in names
    assert document["exact"][0]["methods"]
    assert document["startup"][0]["met"]
    assert all(row["met"] for row in document["literal"])
    assert [row["met"] for row in document["systems"]] == [True, None, True]
    assert "Start-up" in done.output
    assert CliRunner().invoke(main, ["bench", "fast"]).exit_code == 2
    assert cli_bench.PARTS == runner.PARTS


def test_command__keeps_what_is_measured_and_goes_on(tmp_path, monkeypatch):
    from specsim.cli.group import main

    def workload(name):
        return Workload(name=name, pair=lambda: PAIRS["small"], least_tokens_per_second=1.0)

    def interrupted():
        raise KeyboardInterrupt

    both = [workload("first"), replace(workload("second"), pair=interrupted)]
    monkeypatch.setattr(runner, "WORKLOADS", both)
    file = tmp_path / "bench.json"
    arguments = ["bench", "engines", "--repetitions", "2", "--seconds", "0.001", "--contender", "NumPy alias"]
    arguments += ["--json-file", str(file)]
    assert CliRunner().invoke(main, arguments).exit_code == 130
    begun = json.loads(file.read_text())
    assert begun["pieces"] == ["engines, first"]
    assert CliRunner().invoke(main, [*arguments, "--resume"]).exit_code == 130
    both[1] = workload("second")
    done = CliRunner().invoke(main, [*arguments, "--resume"])
    assert done.exit_code == 0, done.output
    document = json.loads(file.read_text())
    assert document["pieces"] == ["engines, first", "engines, second"]
    assert document["timings"][0] == begun["timings"][0]
    assert [row["workload"] for row in document["timings"]] == ["first", "second"]
    done = CliRunner().invoke(main, [*arguments, "--resume", "--repetitions", "3"])
    assert done.exit_code == 2
    assert "has repetitions 2, not 3" in done.output
    file.write_text("{}")
    assert CliRunner().invoke(main, [*arguments, "--resume"]).exit_code == 2
    assert CliRunner().invoke(main, ["bench", "engines", "--resume"]).exit_code == 2


@pytest.mark.parametrize(("fixed", "cost"), [(0.0, 1e-6), (0.7, 1e-6), (0.7, 1e-4), (0.0, 1e-3)])
def test_calibrate__works_as_long_as_tables_take(fixed, cost, monkeypatch):
    monkeypatch.setattr(timing, "clock", lambda run, runs, seed, wall=False: fixed + runs * cost)
    runs = timing.calibrate(lambda runs, seed: None, 0.2, 64, fixed)
    assert runs % timing.UNIT == 0
    assert runs * cost > 0.9 * max(0.2, fixed)
    assert runs * cost < 2 * max(0.2, fixed) or runs == timing.UNIT


def test_measure__time_that_drowns_in_that_of_tables_is_not_reported(monkeypatch):
    spent = iter([5.0] * 4)
    monkeypatch.setattr(
        runner, "clock", lambda run, runs, seed, wall=False: 5.0 if runs == 1 else next(spent)
    )
    monkeypatch.setattr(runner, "calibrate", lambda *arguments: 2**14)
    chosen = [c for c in batches.contenders() if c.name == "lockstep M=1"]
    found = runner.measure(WORKLOADS[0], chosen, repetitions=2, seconds=0.1, report=lambda line: None)
    assert [t.nanoseconds for t in found] == [[]]
    assert found[0].problem is not None
    assert "--seconds" in found[0].problem
    assert runner.ratios(found, [("lockstep M=1", "lockstep M=1", 1.5)]) == []
