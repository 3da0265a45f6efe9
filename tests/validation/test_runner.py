"""Runs: verdicts, determinism, resuming, interruption."""

import dataclasses
import threading

import numpy as np
import pytest

from specsim import Speculative, paper_pair
from specsim.errors import InputError, StoreWarning
from specsim.scale import running
from specsim.validation.builders import mean_check
from specsim.validation.claims_model import ExactCheck, RegressionCheck, StatisticalCheck, equal
from specsim.validation.reports.json import report_document
from specsim.validation.running import runner
from specsim.validation.running.effort import QUICK
from specsim.validation.running.events import CheckFinished, Note, Planned, Simulated
from specsim.validation.running.outcomes import Status
from specsim.validation.running.runner import validate
from specsim.validation.witnesses import as_built


def document(report):
    found = report_document(report)
    del found["provenance"], found["notes"]
    return found


def test_validate__right_witnesses_agree(coins):
    report = validate([coins.claim()], effort="quick", witnesses=coins.witnesses())
    assert report.status is Status.AGREES
    assert report.exit_code == 0
    assert report.planned == 3
    for item in report.claims[0].assertions:
        assert item.p_value > item.alpha == pytest.approx(1e-6 / 3)
        assert item.detectable <= item.wanted
        assert item.runs > 100


@pytest.mark.parametrize("step", range(4))
def test_validate__planted_discrepancies_are_caught(coins, step):
    # At quick effort 0.1 in one step's probability has to be caught with probability 0.999.
    truth = coins.STEPS.copy()
    truth[step] += 0.101
    report = validate([coins.claim()], effort="quick", witnesses=coins.witnesses(truth=truth))
    assert report.exit_code == 1
    failed = [item for item in report.claims[0].assertions if item.status is Status.DISAGREES]
    assert any(item.where == f"step {step + 1}" and item.sigma > 5 for item in failed)


def test_validate__right_law_is_kept_for_every_seed(coins):
    for seed in range(40):
        report = validate([coins.claim()], effort="quick", seed=seed, witnesses=coins.witnesses())
        assert report.status is Status.AGREES


def test_validate__same_seed_same_report_whatever_the_threads(coins):
    claims = [
        coins.claim("a.a", *coins.three(), coins.exact()),
        coins.claim("a.b", *coins.three(coins.pair(1))),
    ]
    one = validate(claims, effort="quick", witnesses=coins.witnesses(), threads=1, seed=5)
    two = validate(claims, effort="quick", witnesses=coins.witnesses(), threads=2, seed=5)
    assert document(one) == document(two)
    other = validate(claims, effort="quick", witnesses=coins.witnesses(), threads=2, seed=6)
    assert document(one) != document(other)


def test_validate__undecided_when_the_effort_is_too_small(coins):
    tiny = dataclasses.replace(QUICK, max_runs=200)
    report = validate([coins.claim()], effort=tiny, witnesses=coins.witnesses())
    assert report.status is Status.UNDECIDED
    assert report.exit_code == 3
    assert any(item.detectable > item.wanted for item in report.claims[0].assertions)


def test_validate__excluded_value(coins):
    def check(excluded):
        case = [(coins.pair(), Speculative())]
        return mean_check("m", case, discrepancy=0.5, excluded=lambda *ignored: excluded)

    truth = float(coins.STEPS.sum())
    good = validate([coins.claim("a.a", check(truth + 0.05))], effort="quick", witnesses=coins.witnesses())
    assert good.exit_code == 0
    (item,) = good.claims[0].assertions
    assert "missed by" in item.detail
    # The published value is the true one: nothing can be excluded, whatever theory believes.
    believed = coins.STEPS + np.array([0.05, 0, 0, 0])
    wrong = coins.witnesses(believed=believed)
    bad = validate([coins.claim("a.a", check(truth))], effort="quick", witnesses=wrong)
    assert bad.exit_code == 1
    same = validate([coins.claim("a.a", check(truth))], effort="quick", witnesses=coins.witnesses())
    assert same.exit_code == 1
    assert "nothing is left to exclude" in same.claims[0].assertions[0].detail


def test_validate__exact_failure_and_errors(coins):
    def crash(witnesses, effort):
        yield equal("fine", 1, 1)
        raise RuntimeError("half way")

    report = validate(
        [
            coins.claim("a.a", coins.exact(ok=False)),
            coins.claim("a.b", ExactCheck("crash", crash)),
            coins.claim("a.c", ExactCheck("empty", lambda witnesses, effort: ())),
            coins.claim("a.d", coins.exact()),
        ],
        effort="quick",
        witnesses=coins.witnesses(),
    )
    assert [claim.status for claim in report.claims] == [
        Status.DISAGREES, Status.ERROR, Status.ERROR, Status.AGREES,
    ]  # fmt: skip
    assert "RuntimeError: half way" in report.claims[1].checks[0].message
    assert len(report.claims[1].comparisons) == 1
    assert "could never fail" in report.claims[2].checks[0].message
    assert report.exit_code == 1


def test_validate__simulation_that_fails_is_an_error_of_its_assertions_only(coins):
    good = coins.witnesses()

    def simulate(pair, algorithm, **options):
        if pair.name == "coins 1":
            raise MemoryError("too many coins")
        return good.simulate(pair, algorithm, **options)

    claims = [coins.claim("a.a"), coins.claim("a.b", *coins.three(coins.pair(1)))]
    report = validate(claims, effort="quick", witnesses=good.replace(simulate=simulate))
    assert [claim.status for claim in report.claims] == [Status.AGREES, Status.ERROR]
    assert "too many coins" in report.claims[1].assertions[0].detail


def test_validate__tallies_that_cannot_be_are_contradictions(coins):
    good = coins.witnesses()

    def simulate(*arguments, **options):
        return good.simulate(*arguments, **options).isel(rejections=slice(1, None))

    report = validate([coins.claim()], effort="quick", witnesses=good.replace(simulate=simulate))
    assert report.claims[0].status is Status.DISAGREES


def test_validate__events_are_data_in_order(coins):
    events = []
    report = validate(
        [coins.claim("a.a", *coins.three(), coins.exact())],
        effort="quick",
        witnesses=coins.witnesses(),
        progress=events.append,
        threads=1,
    )
    kinds = [type(event) for event in events]
    assert kinds.index(Planned) < kinds.index(Simulated)
    assert sum(kind is CheckFinished for kind in kinds) == 4
    planned = events[kinds.index(Planned)]
    assert planned.positions == 4 * report.runs
    assert [event.positions for event in events if isinstance(event, Simulated)][-1] == planned.positions
    assert threading.current_thread() is threading.main_thread()


# Resuming.


@pytest.fixture
def built(coins, monkeypatch):
    """A claim on a tiny pair for the project's own witnesses, and the simulations that are really run."""
    computed = []

    def perform(request, **options):
        computed.append((options["first_run"], options["runs"]))
        return usual(request, **options)

    usual = running.perform
    monkeypatch.setattr(running, "perform", perform)
    return [coins.claim("a.a", *coins.three(paper_pair(4)), coins.exact())], computed


def test_resume__finished_work_is_not_done_again(built, tmp_path):
    claims, computed = built
    one = validate(claims, effort="quick", resume_dir=tmp_path)
    first = list(computed)
    assert first
    two = validate(claims, effort="quick", resume_dir=tmp_path)
    assert computed == first
    assert document(one) == document(two) == document(validate(claims, effort="quick"))
    assert two.notes == ()
    computed.clear()
    validate(claims, effort="quick", resume_dir=tmp_path, seed=9)
    assert computed == first


def test_resume__mutants_do_not_share_results(built, tmp_path):
    claims, computed = built
    validate(claims, effort="quick", resume_dir=tmp_path)
    computed.clear()
    validate(claims, effort="quick", witnesses=as_built().replace(name="a mutant"), resume_dir=tmp_path)
    assert computed
    assert {path.name for path in tmp_path.iterdir()} == {"as-built", "a-mutant"}


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_resume__damaged_files_are_computed_again_with_a_note(built, tmp_path, damage):
    claims, computed = built
    one = validate(claims, effort="quick", resume_dir=tmp_path)
    files = sorted(path for path in tmp_path.rglob("*.*") if path.suffix in (".npz", ".json"))
    assert {file.suffix for file in files} == {".npz", ".json"}
    for file in files:
        content = bytearray(file.read_bytes())
        if damage == "flip":
            content[len(content) // 2] ^= 0xFF
        file.write_bytes(content[: len(content) // 2] if damage == "truncate" else
                         b"" if damage == "empty" else bytes(content))  # fmt: skip
    computed.clear()
    events = []
    with pytest.warns(StoreWarning, match="computing it again"):
        two = validate(claims, effort="quick", resume_dir=tmp_path, progress=events.append)
    assert computed
    assert document(one) == document(two)
    assert [event.text for event in events if isinstance(event, Note)] == list(two.notes)
    assert ["computing it again" in note for note in two.notes] == [True]
    assert validate(claims, effort="quick", resume_dir=tmp_path).notes == ()


def test_resume__tampered_comparisons_are_not_believed(coins, tmp_path):
    claims = [coins.claim("a.a", coins.exact(ok=False))]
    one = validate(claims, effort="quick", witnesses=coins.witnesses(), resume_dir=tmp_path)
    (file,) = tmp_path.rglob("*.json")
    text = file.read_text()
    file.write_text(text.replace("false", "true"))
    two = validate(claims, effort="quick", witnesses=coins.witnesses(), resume_dir=tmp_path)
    assert document(one) == document(two)
    assert two.claims[0].status is Status.DISAGREES
    assert "checksum" in two.notes[0]


def test_resume__changed_source_is_not_trusted(coins, tmp_path, monkeypatch):
    counted = []

    def compare(witnesses, effort):
        counted.append(effort)
        yield equal("a", 1, 1)

    claims = [coins.claim("a.a", ExactCheck("counted", compare))]
    for _ in range(2):
        validate(claims, witnesses=coins.witnesses(), resume_dir=tmp_path)
    assert len(counted) == 1
    monkeypatch.setattr("specsim.validation.running.store.source_hash", lambda: "other")
    validate(claims, witnesses=coins.witnesses(), resume_dir=tmp_path)
    assert len(counted) == 2


def test_resume__folder_that_is_a_file(coins, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="give a folder"):
        validate([coins.claim()], witnesses=coins.witnesses(), resume_dir=tmp_path / "file")


# Interruption.


def interrupt_at(kind, number):
    seen = []

    def progress(event):
        if isinstance(event, kind):
            seen.append(event)
            if len(seen) == number:
                raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("threads", [1, 2])
def test_interrupt__finished_work_is_reported_and_the_rest_is_marked(coins, threads):
    gate = threading.Event()
    good = coins.witnesses()

    def simulate(pair, algorithm, **options):
        if pair.name == "coins 1":
            gate.wait(20)
        return good.simulate(pair, algorithm, **options)

    claims = [coins.claim("a.a"), coins.claim("a.b", *coins.three(coins.pair(1)))]

    def progress(event):
        if isinstance(event, CheckFinished) and event.check == "steps":
            # The simulation goes on while the run is being stopped, and must end at its next progress.
            threading.Timer(0.3, gate.set).start()
            raise KeyboardInterrupt

    report = validate(
        claims,
        effort="quick",
        witnesses=good.replace(simulate=simulate),
        threads=threads,
        progress=progress,
    )
    assert report.interrupted
    assert report.exit_code == 130
    assert report.claims[0].status is Status.AGREES
    assert report.claims[1].status is Status.NOT_RUN


def test_interrupt__finished_chunks_are_kept(built, tmp_path, monkeypatch):
    claims, computed = built
    monkeypatch.setattr("specsim.scale.running.chunk_size", lambda request, chunk_runs: 2**10)
    report = validate(claims, effort="quick", resume_dir=tmp_path, progress=interrupt_at(Simulated, 3))
    assert report.exit_code == 130
    assert len(list(tmp_path.rglob("*.npz"))) >= 2
    computed.clear()
    again = validate(claims, effort="quick", resume_dir=tmp_path)
    assert 0 not in {first for first, _ in computed}
    assert document(again) == document(validate(claims, effort="quick"))


def test_interrupt__while_planning(coins):
    planning = threading.Event()

    def slow(witnesses, effort):
        planning.wait(20)
        return []

    def progress(event):
        planning.set()
        raise KeyboardInterrupt

    claim = coins.claim("a.a", coins.exact(), StatisticalCheck("slow", slow))
    report = validate([claim], effort="quick", witnesses=coins.witnesses(), progress=progress, threads=2)
    assert report.interrupted
    assert report.claims[0].checks[1].status is Status.NOT_RUN or report.planned == 0


def test_interrupt__waits_for_a_limited_time(coins, monkeypatch):
    monkeypatch.setattr(runner, "STOP_SECONDS", 0.05)
    gate = threading.Event()

    def endless(witnesses, effort):
        yield equal("a", 1, 1)
        gate.wait(20)
        yield equal("b", 1, 1)

    claim = coins.claim("a.a", ExactCheck("endless", endless))

    def progress(event):
        raise KeyboardInterrupt

    report = validate([claim], witnesses=coins.witnesses(), progress=progress)
    gate.set()
    assert report.interrupted
    assert report.claims[0].status is Status.NOT_RUN


def test_progress__error_of_the_caller_is_not_swallowed(coins):
    def progress(event):
        raise LookupError("of the caller")

    with pytest.raises(LookupError, match="of the caller"):
        validate([coins.claim()], effort="quick", witnesses=coins.witnesses(), progress=progress)


def test_stop_at_failure(coins):
    claims = [coins.claim("a.a", coins.exact(ok=False)), coins.claim("a.b", coins.exact())]
    report = validate(claims, witnesses=coins.witnesses(), stop_at_failure=True, threads=1)
    assert [claim.status for claim in report.claims] == [Status.DISAGREES, Status.NOT_RUN]


# Regression checks.


@pytest.fixture
def stored(coins, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "specsim.validation.running.runner.run_regression",
        lambda claim, check, witnesses, update: run_regression(
            claim, check, witnesses, update=update, folder=tmp_path
        ),
    )
    from specsim.validation.running.regression import run_regression

    return tmp_path


def regression(coins, value):
    return coins.claim("a.a", RegressionCheck("fixed seed", lambda witnesses: value))


def run(claim, coins, **options):
    return validate([claim], effort="quick", witnesses=coins.witnesses(), **options).claims[0].checks[0]


def test_regression__update_stores_and_later_runs_compare(coins, stored):
    value = {"counts": np.array([1, 2, 3]), "total": 6}
    missing = run(regression(coins, value), coins)
    assert missing.status is Status.ERROR
    assert "--update" in missing.message
    assert run(regression(coins, value), coins, update=True).status is Status.AGREES
    assert (stored / "a.a--fixed-seed.json").exists()
    assert run(regression(coins, value), coins).status is Status.AGREES
    changed = run(regression(coins, {"counts": [1, 5, 3], "total": 6}), coins)
    assert changed.status is Status.DISAGREES
    assert "counts[1] was 2, is 5" in changed.message
    assert run(regression(coins, {"total": 6}), coins).status is Status.DISAGREES
    run(regression(coins, {"batch": {"steps": [1, 2], "calls": 3}}), coins, update=True)
    deep = run(regression(coins, {"batch": {"steps": [1, 7], "calls": 3}}), coins)
    assert "batch.steps[1] was 2, is 7" in deep.message


def test_regression__damaged_file_and_floats(coins, stored):
    run(regression(coins, {"total": 6}), coins, update=True)
    (stored / "a.a--fixed-seed.json").write_text("{")
    assert "cannot be read" in run(regression(coins, {"total": 6}), coins).message
    assert "compares integers" in run(regression(coins, {"total": 0.5}), coins).message


# Bad input.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"effort": "huge"}, "effort is 'huge'"),
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"alpha": 2.0}, "alpha is 2.0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_validate__bad_input(coins, options, words):
    with pytest.raises(InputError, match=words):
        validate([coins.claim()], witnesses=coins.witnesses(), **options)


def test_validate__claims_of_one_id(coins):
    with pytest.raises(InputError, match=r"test\.coins is used twice"):
        validate([coins.claim(), coins.claim()], witnesses=coins.witnesses())
