"""Processes that are killed or interrupted: what was finished stays, and nothing is computed twice."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import xarray

import specsim
from specsim import Speculative, paper_pair, simulate

ROOT = Path(specsim.__file__).resolve().parent.parent
RUNS, CHUNK = 600_000, 5_000

posix = pytest.mark.skipif(os.name != "posix", reason="signals")


def start(folder, out):
    command = (
        f"simulate paper:50 speculative --runs {RUNS} --seed 11 --threads 1 "
        f"--resume {folder} --chunk-runs {CHUNK} --out {out}"
    )
    return subprocess.Popen(
        [sys.executable, "-m", "specsim", *command.split()],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(folder):
    return sorted(folder.glob("*/[0-9]*.npz"))


def wait_for_chunks(process, folder, count):
    deadline = time.monotonic() + 120
    while len(finished(folder)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def uninterrupted():
    return simulate(paper_pair(50), Speculative(), runs=RUNS, seed=11)


@posix
def test_kill_9__same_bits_and_no_chunk_twice(tmp_path, uninterrupted):
    folder, out = tmp_path / "store", tmp_path / "out.nc"
    survivors = {}
    for count in (1, 10):
        process = start(folder, out)
        wait_for_chunks(process, folder, count)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        found = {path: path.stat().st_mtime_ns for path in finished(folder)}
        assert count <= len(found) < RUNS // CHUNK
        assert survivors.items() <= found.items()
        assert len(found) > len(survivors)
        survivors = found
        assert not out.exists()
    process = start(folder, out)
    _, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (0, "")
    files = finished(folder)
    assert len(files) == RUNS // CHUNK
    assert survivors.items() <= {path: path.stat().st_mtime_ns for path in files}.items()
    with xarray.open_dataset(out, engine="h5netcdf") as result:
        assert result.drop_attrs(deep=False).identical(uninterrupted.drop_attrs(deep=False))
        assert {name: result.attrs[name] for name in uninterrupted.attrs} == uninterrupted.attrs


@posix
def test_ctrl_c__exit_130_and_finished_chunks_are_kept(tmp_path):
    folder = tmp_path / "store"
    process = start(folder, tmp_path / "out.nc")
    wait_for_chunks(process, folder, 3)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output == ""
    assert [line for line in errors.splitlines() if line] == [
        f"specsim: note: finished chunks are in {folder}; to continue, run the same command again",
        "specsim: interrupted",
    ]
    assert 3 <= len(finished(folder)) < RUNS // CHUNK
    assert not list(folder.glob("*/.*"))
    assert not (tmp_path / "out.nc").exists()
