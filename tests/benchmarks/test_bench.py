"""The benchmark's contenders are right, a wrong one is refused, and C gives the bits of the alias engine."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from specsim import paper_pair, random_pair

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import checks, runner
from benchmarks.contenders import all_contenders, c_reference
from benchmarks.contenders.base import Contender
from benchmarks.workloads import Workload

RUNS = 2**14
PAIRS = {
    "small": paper_pair(13),
    "stationary": random_pair(contexts=8, horizon=9, seed=1, stationary=True),
    "middle": random_pair(contexts=70, horizon=5, seed=2, family="sparse"),
}
CONTENDERS = {contender.name: contender for contender in all_contenders()}
compiled = pytest.mark.skipif(c_reference.compiler() is None, reason="no C compiler")


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("name", CONTENDERS)
def test_contenders__agree_with_theory(name, pair):
    run = CONTENDERS[name].prepare(PAIRS[pair])
    if run is None:
        assert "permute" in name
        assert PAIRS[pair].tokens > 8
        return
    assert checks.disagreement(run(RUNS, 3), RUNS, checks.laws(PAIRS[pair])) is None


@compiled
@pytest.mark.parametrize("runs", [1, 63, 2048, 5001])
@pytest.mark.parametrize("pair", PAIRS)
def test_c__has_the_bits_of_the_alias_engine(pair, runs):
    expected = CONTENDERS["specsim alias"].prepare(PAIRS[pair])(runs, 2**64 - 5)
    for name in ("C gather", "C permute"):
        run = CONTENDERS[name].prepare(PAIRS[pair]) if name in CONTENDERS else None
        if run is not None:
            answer = run(runs, 2**64 - 5)
            for field in ("by_step", "rejection_count", "token_count"):
                assert np.array_equal(getattr(answer, field), getattr(expected, field)), (name, field)


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
def test_disagreement__names_what_is_wrong(what):
    pair = PAIRS["small"]
    answer = WRONG[what](CONTENDERS["specsim alias"].prepare(pair)(RUNS, 3))
    assert what in checks.disagreement(answer, RUNS, checks.laws(pair))


def test_measure__does_not_time_a_wrong_contender():
    right = CONTENDERS["specsim alias"]

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
    arguments = ["bench", "--repetitions", "2", "--seconds", "0.001", "--contender", "specsim alias"]
    file = tmp_path / "bench.json"
    done = CliRunner().invoke(main, [*arguments, "--contender", "NumPy alias", "--json", str(file)])
    assert done.exit_code == 0, done.output
    document = json.loads(file.read_text())
    assert [row["contender"] for row in document["timings"]] == ["specsim alias", "NumPy alias"]
    assert all(row["median"] > 0 and len(row["nanoseconds"]) == 2 for row in document["timings"])
    assert document["ratios"][0]["against"] == "specsim alias"
    assert "1e9 tokens/s" in done.output
    done = CliRunner().invoke(main, ["bench", "--contender", "Fortran"])
    assert done.exit_code == 2
    assert "contender is 'Fortran'; give one of: specsim literal" in done.output
