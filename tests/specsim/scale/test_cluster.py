"""The same chunks on a cluster of processes; lost workers, absent schedulers, foreign versions."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest

import specsim
from specsim import Batch, InputError, Speculative, paper_pair, simulate, sweep
from specsim.scale import cluster as cluster_module

distributed = pytest.importorskip("distributed")
ROOT = Path(specsim.__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def workers():
    with (
        warnings.catch_warnings(),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            silence_logs="CRITICAL",
        ) as cluster,
    ):
        yield cluster


@pytest.fixture(scope="module")
def client(workers):
    with distributed.Client(workers, set_as_default=False) as client:
        yield client


def test_result__equals_that_of_one_process(workers, client, pair, identical):
    for engine in ("lockstep", "alias"):
        options = {"runs": 5000, "seed": 3, "engine": engine, "per_run": True}
        whole = simulate(pair, Batch(drafts=2), threads=1, **options)
        assert identical(simulate(pair, Batch(drafts=2), cluster=client, chunk_runs=300, **options), whole)
    address = workers.scheduler_address
    assert identical(simulate(pair, Batch(drafts=2), cluster=address, chunk_runs=1200, **options), whole)
    assert identical(simulate(pair, Batch(drafts=2), cluster=client, **options), whole)


def test_population__is_computed_there_as_one(client, pair, identical):
    options = {"runs": 10**14, "seed": 3, "engine": "population"}
    assert identical(
        simulate(pair, Speculative(), cluster=client, **options), simulate(pair, Speculative(), **options)
    )


def test_store__is_filled_and_read_here(client, pair, identical, tmp_path):
    options = {"runs": 3000, "seed": 4, "chunk_runs": 500, "store": tmp_path}
    seen = []
    whole = simulate(pair, Speculative(), cluster=client, progress=seen.append, **options)
    assert seen == [500, 1000, 1500, 2000, 2500, 3000]
    assert identical(whole, simulate(pair, Speculative(), runs=3000, seed=4, threads=1))
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*.npz")}
    assert len(files) == 6
    next(iter(files)).unlink()
    assert identical(whole, simulate(pair, Speculative(), cluster=client, **options))
    again = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*.npz")}
    assert len(files.items() & again.items()) == 5
    # Complete: nobody is asked.
    assert identical(whole, simulate(pair, Speculative(), cluster="tcp://127.0.0.1:9", **options))


def test_sweep__has_all_combinations_in_flight(client, pair):
    options = {"runs": 2000, "seed": 5, "drafts": [1, 2, 4]}
    pairs = [pair, paper_pair(12)]
    here = sweep(pairs, Batch(drafts=1), threads=1, **options)
    assert sweep(pairs, Batch(drafts=1), cluster=client, chunk_runs=700, **options).identical(here)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_killed_worker__changes_nothing(client, identical):
    """A worker is killed by signal 9 when a third of the chunks is done."""
    pair = paper_pair(50)
    runs, chunk = 200_000, 10_000
    before = client.run(os.getpid)
    killed = []

    def progress(done):
        if done >= runs // 3 and not killed:
            killed.append(next(iter(before.values())))
            os.kill(killed[0], signal.SIGKILL)

    result = simulate(
        pair, Speculative(), runs=runs, seed=6, cluster=client, chunk_runs=chunk, progress=progress
    )
    assert killed
    assert identical(result, simulate(pair, Speculative(), runs=runs, seed=6))
    client.wait_for_workers(2, timeout=60)


@pytest.mark.slow
def test_worker_that_always_dies__is_named_in_one_line(workers, client, pair, monkeypatch):
    monkeypatch.setattr(cluster_module, "compute_chunk", die)
    with (
        distributed.Client(workers, set_as_default=False) as other,
        pytest.raises(InputError, match=r"runs 0\.\.999 brought down \d workers") as caught,
    ):
        simulate(pair, Speculative(), runs=1000, seed=6, cluster=other)
    assert "\n" not in str(caught.value)
    client.wait_for_workers(2, timeout=60)


def die(request, chunk, expected):
    """Stand in for `compute_chunk`, on a worker."""
    os._exit(1)


def test_other_version_on_a_worker__is_refused(client, pair):
    def pretend(version):
        import specsim

        specsim.__version__ = version

    one = next(iter(client.nthreads()))
    right = specsim.__version__
    client.run(pretend, "9.9", workers=[one])
    try:
        with pytest.raises(
            InputError,
            match=rf"worker {one} has source .*, specsim 9.9, but here is .*specsim {right}; install",
        ):
            simulate(pair, Speculative(), runs=100, seed=1, cluster=client)
        # One that joins after the check finds out by itself.
        with pytest.raises(InputError, match=r"a worker has source .*, specsim 9.9"):
            client.submit(
                cluster_module.compute_chunk,
                specsim.engines.simulation.check_request(pair, Speculative(), runs=1, seed=1),
                (0, 1),
                cluster_module.software("literal"),
                workers=[one],
                pure=False,
            ).result()
    finally:
        client.run(pretend, right, workers=[one])
    assert simulate(pair, Speculative(), runs=100, seed=1, cluster=client).attrs["runs"] == 100


def tasks_called(name, dask_scheduler):
    """Return the state of the scheduler's tasks of a flight."""
    return {key: task.state for key, task in dask_scheduler.tasks.items() if str(key).startswith(name)}


def test_interruption__cancels_and_leaves_the_cluster_usable(client, pair, tmp_path, identical, monkeypatch):
    options = {"runs": 8000, "seed": 8, "chunk_runs": 200, "store": tmp_path}
    flights = []

    class Watched(cluster_module._Flight):
        """Futures that somebody holds are not released by themselves."""

        def __init__(self, *arguments):
            super().__init__(*arguments)
            flights.append(self)

    def stop(done):
        if done >= 1000:
            raise KeyboardInterrupt

    monkeypatch.setattr(cluster_module, "_Flight", Watched)
    with pytest.raises(KeyboardInterrupt):
        simulate(pair, Speculative(), cluster=client, progress=stop, **options)
    assert len(list(tmp_path.glob("*/*.npz"))) == 5
    assert len(flights[0].pending) > 20
    deadline = time.monotonic() + 30
    while left := client.run_on_scheduler(tasks_called, name=flights[0].name):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    whole = simulate(pair, Speculative(), cluster=client, **options)
    assert identical(whole, simulate(pair, Speculative(), runs=8000, seed=8))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nowhere", "", "http://127.0.0.1:80"])
def test_absent_scheduler__is_one_line_within_seconds(address, pair, monkeypatch):
    monkeypatch.setattr(cluster_module, "TIMEOUT", 1.0)
    begin = time.monotonic()
    with pytest.raises(InputError, match="no Dask scheduler answers") as caught:
        simulate(pair, Speculative(), runs=10, seed=1, cluster=address)
    assert "\n" not in str(caught.value)
    assert repr(address) in str(caught.value)
    assert time.monotonic() - begin < 10


def test_something_else_that_listens__is_no_scheduler(pair, monkeypatch):
    monkeypatch.setattr(cluster_module, "TIMEOUT", 0.4)
    for greeting in (b"", b"HTTP/1.1 400 Bad Request\r\n\r\n" * 20):
        with socket.create_server(("127.0.0.1", 0)) as server:

            def serve(server=server, greeting=greeting):
                with contextlib.suppress(OSError):
                    connection, _ = server.accept()
                    with connection:
                        connection.sendall(greeting)
                        time.sleep(1.0)

            thread = threading.Thread(target=serve)
            thread.start()
            address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
            with pytest.raises(InputError, match="no Dask scheduler answers"):
                simulate(pair, Speculative(), runs=10, seed=1, cluster=address)
            thread.join()


def test_a_worker_is_no_scheduler(client, pair):
    address = next(iter(client.nthreads()))
    with pytest.raises(InputError, match=r"a Dask Worker; give the scheduler's address"):
        simulate(pair, Speculative(), runs=10, seed=1, cluster=address)


def test_no_workers__is_said(pair, monkeypatch):
    monkeypatch.setattr(cluster_module, "WORKER_TIMEOUT", 0.5)
    with (
        distributed.LocalCluster(
            n_workers=0, processes=True, dashboard_address=":0", silence_logs="CRITICAL"
        ) as empty,
        pytest.raises(InputError, match="has no workers; start some with 'dask worker tcp://"),
    ):
        simulate(pair, Speculative(), runs=10, seed=1, cluster=empty.scheduler_address)


def test_bad_cluster__is_named(client, pair):
    for bad in (7, object(), ["tcp://127.0.0.1:9"]):
        with pytest.raises(InputError, match=r"cluster is .*; give the address of a Dask scheduler"):
            simulate(pair, Speculative(), runs=10, seed=1, cluster=bad)
    with pytest.raises(InputError, match="threads is 2, but the workers of a cluster bring their own"):
        simulate(pair, Speculative(), runs=10, seed=1, cluster=client, threads=2)
    with distributed.Client(client.scheduler.address, set_as_default=False) as closed:
        pass
    with pytest.raises(InputError, match="cluster is a client that is closed"):
        simulate(pair, Speculative(), runs=10, seed=1, cluster=closed)


def test_without_dask__the_extra_is_named(pair):
    code = (
        "import sys; sys.modules['distributed'] = None\n"
        "from specsim import Speculative, paper_pair, simulate\n"
        "simulate(paper_pair(3), Speculative(), runs=5, seed=1, chunk_runs=2)\n"
        "simulate(paper_pair(3), Speculative(), runs=5, seed=1, cluster='tcp://127.0.0.1:9')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert "dask.distributed is not installed; pip install 'specsim-decoding[cluster]'" in last


@pytest.mark.slow
def test_lost_scheduler__is_said(pair, tmp_path):
    """The process of the scheduler and its workers is killed while chunks are computed."""
    code = (
        "import distributed, sys, time\n"
        "if __name__ == '__main__':\n"
        "    cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False,\n"
        "        dashboard_address=':0', silence_logs='CRITICAL', protocol='tcp://')\n"
        "    print(cluster.scheduler_address, flush=True)\n"
        "    time.sleep(300)\n"
    )
    server = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().strip()

        def stop(done):
            server.kill()

        options = {"runs": 3_000_000, "seed": 8, "chunk_runs": 30_000, "store": tmp_path}
        with pytest.raises(InputError, match="the scheduler was lost"):
            simulate(paper_pair(50), Speculative(), cluster=address, progress=stop, **options)
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    assert list(tmp_path.glob("*/*.npz"))
