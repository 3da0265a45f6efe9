"""The result depends on the request alone: not on chunks, threads or order."""

import threading

import numpy as np
import pytest

from specsim import Autoregressive, Batch, InputError, Speculative, paper_pair, simulate
from specsim.scale import running

ALGORITHMS = [Autoregressive(), Speculative(draft_length=3), Batch(drafts=3)]


@pytest.mark.parametrize("engine", ["lockstep", "alias"])
@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: a.label)
def test_result__depends_on_neither_chunks_nor_threads(engine, algorithm, pair, identical):
    options = {"runs": 5000, "seed": 2**64 - 1, "engine": engine, "first_run": 123, "per_run": True}
    whole = simulate(pair, algorithm, threads=1, **options)
    for size, threads in ((97, 1), (1024, 2), (4999, 3), (10**9, 2)):
        assert identical(simulate(pair, algorithm, threads=threads, chunk_runs=size, **options), whole)
    few = {**options, "runs": 20}
    assert identical(
        simulate(pair, algorithm, threads=1, chunk_runs=1, **few), simulate(pair, algorithm, threads=1, **few)
    )


@pytest.mark.parametrize("engine", ["lockstep", "alias"])
def test_rejections_only__in_chunks(engine, identical):
    options = {"runs": 20_000, "seed": 3, "engine": engine, "tallies": "rejections"}
    pair = paper_pair(50)
    whole = simulate(pair, Speculative(), threads=1, **options)
    assert "target_call_count" not in whole
    assert identical(simulate(pair, Speculative(), threads=2, chunk_runs=3000, **options), whole)


def test_progress__counts_all_runs_in_the_calling_thread(pair):
    seen, caller = [], threading.get_ident()

    def progress(runs):
        assert threading.get_ident() == caller
        seen.append(runs)

    simulate(pair, Speculative(), runs=5000, seed=1, threads=2, chunk_runs=1500, progress=progress)
    assert seen == sorted(seen)
    assert seen[-1] == 5000
    assert {1500, 3000, 4500} <= set(seen)


def test_many_chunks__few_tallies_are_held_at_once(pair, identical, monkeypatch):
    held = []
    right = running._Job.add

    def watched(job, *arguments, **options):
        right(job, *arguments, **options)
        held.append(len(job._sums))

    monkeypatch.setattr(running._Job, "add", watched)
    result = simulate(pair, Speculative(), runs=200, seed=1, threads=1, chunk_runs=2)
    assert identical(result, simulate(pair, Speculative(), runs=200, seed=1))
    assert len(held) == 100
    assert max(held) <= 7


def test_interruption__keeps_finished_chunks(pair, tmp_path, identical):
    def stop(runs):
        if runs >= 3000:
            raise KeyboardInterrupt

    options = {"runs": 10_000, "seed": 1, "threads": 2, "chunk_runs": 1000, "store": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        simulate(pair, Speculative(), progress=stop, **options)
    names = {path.name for path in tmp_path.glob("*/*")}
    assert {"0-1000.npz", "1000-2000.npz"} <= names
    assert len(names) <= 3
    assert identical(
        simulate(pair, Speculative(), **options),
        simulate(pair, Speculative(), runs=10_000, seed=1, threads=1),
    )


def test_bad_options(pair):
    with pytest.raises(InputError, match="chunk_runs is 0"):
        simulate(pair, Speculative(), runs=10, seed=1, chunk_runs=0)
    with pytest.raises(InputError, match="threads is 0"):
        simulate(pair, Speculative(), runs=10, seed=1, chunk_runs=5, threads=0)
    with pytest.raises(InputError, match="the population engine draws all runs at once"):
        simulate(pair, Speculative(), runs=10, seed=1, chunk_runs=5, engine="population")
    assert (
        simulate(pair, Speculative(), runs=np.int64(10), seed=1, chunk_runs=np.int32(5)).attrs["runs"] == 10
    )
