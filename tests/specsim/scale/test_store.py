"""Stored chunks: proofs of integrity, refusals, sharing, failures of the disk."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray

import specsim
from specsim import InputError, Speculative, paper_pair, simulate
from specsim.engines.simulation import check_request
from specsim.errors import StoreWarning
from specsim.scale import archive, software, store
from specsim.scale.archive import DamagedError, read_archive, write_archive

ROOT = Path(specsim.__file__).resolve().parent.parent
RUNS, CHUNK = 1000, 100


def run(pair, folder, **changes):
    options = {"runs": RUNS, "seed": 5, "threads": 1, "store": folder, "chunk_runs": CHUNK, **changes}
    return simulate(pair, Speculative(), **options)


def chunks(folder):
    return sorted(Path(folder).glob("*/*.npz"), key=lambda path: int(path.name.split("-")[0]))


def times(files):
    return {path: path.stat().st_mtime_ns for path in files}


@pytest.fixture
def whole(pair):
    return simulate(pair, Speculative(), runs=RUNS, seed=5, threads=1)


@pytest.fixture
def filled(pair, tmp_path):
    run(pair, tmp_path)
    assert len(chunks(tmp_path)) == RUNS // CHUNK
    return tmp_path


def test_second_time__nothing_is_computed(pair, filled, whole, identical, monkeypatch):
    before = times(chunks(filled))
    monkeypatch.setattr("specsim.scale.running.perform", lambda *a, **b: pytest.fail("computed again"))
    seen = []
    assert identical(run(pair, filled, progress=seen.append), whole)
    # With other chunks, fewer runs, more threads too.
    assert identical(run(pair, filled, chunk_runs=33, threads=2), whole)
    assert seen == list(range(CHUNK, RUNS + 1, CHUNK))
    assert times(chunks(filled)) == before


def test_more_runs__only_the_new_ones_are_computed(pair, filled, identical, monkeypatch):
    right, computed = specsim.scale.running.perform, []

    def counted(request, **options):
        computed.append((options["first_run"], options["runs"]))
        return right(request, **options)

    monkeypatch.setattr("specsim.scale.running.perform", counted)
    more = run(pair, filled, runs=1250, chunk_runs=200)
    assert computed == [(1000, 200), (1200, 50)]
    assert identical(more, simulate(pair, Speculative(), runs=1250, seed=5))
    part = run(pair, filled, runs=450, first_run=250)
    assert computed[2:] == [(250, 50)]
    assert identical(part, simulate(pair, Speculative(), runs=450, first_run=250, seed=5))


def test_requests_do_not_mix_in_one_store(pair, filled, identical):
    for changes in ({"seed": 6}, {"horizon": 5}, {"engine": "alias"}, {"per_run": True}, {"outcomes": False}):
        options = {"runs": RUNS, "seed": 5, "threads": 1, **changes}
        assert identical(run(pair, filled, **changes), simulate(pair, Speculative(), **options))
    other = paper_pair(8)
    assert identical(run(other, filled), simulate(other, Speculative(), runs=RUNS, seed=5, threads=1))


def damage_cut(data):
    return data[: len(data) // 2]


def damage_nothing_left(data):
    return b""


def damage_flip(data):
    # Beyond the name lies compressed data of the variable.
    place = data.index(b"variable token_count") + 60
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


def damage_text(data):
    return b"no archive at all"


@pytest.mark.parametrize("damage", [damage_cut, damage_nothing_left, damage_flip, damage_text])
def test_damaged_chunk__is_computed_again_with_a_note(damage, pair, filled, whole, identical):
    files = chunks(filled)
    before = times(files)
    files[3].write_bytes(damage(files[3].read_bytes()))
    with pytest.warns(StoreWarning, match=f"{files[3].name} is damaged .*computing it again"):
        assert identical(run(pair, filled), whole)
    after = times(chunks(filled))
    assert [path for path in files if after[path] != before[path]] == [files[3]]
    assert identical(run(pair, filled), whole)


def test_changed_count__is_found_by_the_checksum(pair, filled, whole, identical):
    """A file that is whole for every layer below, with sums that fit, but two counts moved."""
    victim = chunks(filled)[0]
    with np.load(victim) as loaded:
        arrays = {name: loaded[name] for name in loaded.files}
    counts = arrays["variable rejection_count"]
    busy = np.flatnonzero(counts)[:2]
    counts[busy] += [1, -1]
    np.savez_compressed(victim, **arrays)
    with pytest.warns(StoreWarning, match="checksum"):
        assert identical(run(pair, filled), whole)


def test_every_single_damage_is_found(pair, tmp_path):
    """One byte changed, or the end missing, anywhere: found, or without effect on what is read."""
    path = tmp_path / "one.npz"
    dataset = simulate(pair, Speculative(), runs=50, seed=1, outcomes=False)
    write_archive(path, dataset, {"what": "test"})
    data = path.read_bytes()
    generator = np.random.default_rng(1)
    found = 0
    for place in generator.integers(len(data), size=150):
        changed = bytearray(data)
        changed[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(changed if place % 3 else data[:place])
        try:
            again, head = read_archive(path)
        except DamagedError:
            found += 1
        else:
            assert head == {"what": "test"}
            assert again.identical(dataset.drop_attrs(deep=False).assign_attrs(dataset.attrs)) or all(
                np.array_equal(again[name].values, dataset[name].values) for name in dataset.variables
            )
    # Time stamps and the like are the only bytes without effect.
    assert found > 100


def test_foreign_chunk__of_another_request(pair, filled):
    run(pair, filled, seed=6)
    one, other = sorted({path.parent for path in chunks(filled)})
    (one / "0-100.npz").write_bytes((other / "0-100.npz").read_bytes())
    seed = (
        5 if one == store.ChunkStore(filled, check_request(pair, Speculative(), runs=1, seed=5)).folder else 6
    )
    with pytest.raises(InputError, match=r"0-100.npz holds runs of another request \(another seed\); give"):
        run(pair, filled, seed=seed)


def test_foreign_chunk__of_other_runs(pair, filled):
    files = chunks(filled)
    files[2].write_bytes(files[1].read_bytes())
    with pytest.raises(InputError, match=r"200-300.npz holds runs of another request \(other runs\)"):
        run(pair, filled)


def test_foreign_chunk__of_other_software(pair, filled, monkeypatch):
    monkeypatch.setattr(software, "engine_sources", lambda: "0123456789abcdef0")
    with pytest.raises(
        InputError, match=r"0-100.npz was computed by source .*specsim .* and this is source 0123"
    ):
        run(pair, filled)
    monkeypatch.undo()
    monkeypatch.setattr(specsim, "__version__", "9.9")
    with pytest.raises(InputError, match=r"this is .*specsim 9.9.*; give another folder, or delete this one"):
        run(pair, filled)


def test_foreign_file__is_refused_but_others_are_ignored(pair, filled, whole, identical):
    place = chunks(filled)[0].parent
    (place / "notes.txt").write_text("mine")
    (place / "a-b.npz").write_bytes(b"")
    (place / "9-9.npz").write_bytes(b"")
    assert identical(run(pair, filled), whole)
    write_archive(place / "0-1000.npz", whole, {"format": "something else"})
    with pytest.raises(InputError, match=r"0-1000.npz is not a chunk"):
        run(pair, filled)


def test_store_of_an_earlier_version__is_refused(pair, filled):
    (filled / "FORMAT").unlink()
    with pytest.raises(InputError, match="earlier specsim, whose engine 'literal' is called 'lockstep' now"):
        run(pair, filled)


def test_source_digest__sees_every_kernel(monkeypatch, tmp_path):
    files = [path.name for path in (ROOT / "specsim" / "engines").glob("*/kernels/*.py")]
    assert len(files) > 3
    right = Path.read_bytes
    for name in [*files, "plans.py", "descriptors.py"]:
        software.engine_sources.cache_clear()
        before = software.engine_sources()
        monkeypatch.setattr(
            Path, "read_bytes", lambda path, name=name: right(path) + (b"#" if path.name == name else b"")
        )
        software.engine_sources.cache_clear()
        assert software.engine_sources() != before, name
        monkeypatch.undo()
    software.engine_sources.cache_clear()


def test_unwritable_store__is_one_line_before_the_work(pair, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("specsim.scale.running.perform", lambda *a, **b: pytest.fail("worked"))
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="cannot write in") as caught:
            run(pair, folder)
        assert "\n" not in str(caught.value)


def test_full_disk__leaves_nothing_half_written(pair, tmp_path, whole, identical, monkeypatch):
    right, written = np.savez_compressed, []

    def full(file, **arrays):
        if len(written) == 4:
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(1)
        right(file, **arrays)

    monkeypatch.setattr(archive.np, "savez_compressed", full)
    with pytest.raises(InputError, match="No space left on device; free some space") as caught:
        run(pair, tmp_path)
    assert "\n" not in str(caught.value)
    assert len(list(tmp_path.glob("*/*"))) == len(chunks(tmp_path)) == 4
    before = times(chunks(tmp_path))
    monkeypatch.undo()
    assert identical(run(pair, tmp_path), whole)
    assert before.items() <= times(chunks(tmp_path)).items()


def test_interrupt__waits_for_the_end_of_writing(tmp_path, monkeypatch):
    right, written = np.savez_compressed, []

    def interrupted(file, **arrays):
        signal.raise_signal(signal.SIGINT)
        right(file, **arrays)
        written.append(file.tell())

    monkeypatch.setattr(np, "savez_compressed", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            write_archive(tmp_path / "one.npz", xarray.Dataset({"count": ("run", [1, 2])}), {})
    finally:
        signal.signal(signal.SIGINT, before)
    assert written
    assert not list(tmp_path.iterdir())


def test_abandoned_beginnings__are_removed_when_old(pair, filled):
    place = chunks(filled)[0].parent
    old, young = place / ".0-100-abc.npz", place / ".100-200-abc.npz"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    run(pair, filled)
    assert not old.exists()
    assert young.exists()


def test_processes_share_a_store(pair, whole, identical, tmp_path):
    """Two processes with different chunks at once: equal results, and a store that serves afterwards."""
    pair.to_file(tmp_path / "pair.nc")
    command = (
        f"simulate {tmp_path / 'pair.nc'} speculative --runs 2000 --seed 5 --threads 1 --json "
        f"--resume {tmp_path / 'store'} --chunk-runs"
    )
    commands = [[sys.executable, "-m", "specsim", *command.split(), size] for size in ("100", "70")]
    processes = [subprocess.Popen(item, cwd=ROOT, stdout=subprocess.PIPE, text=True) for item in commands]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    documents = [json.loads(text) for text in outputs]
    assert documents[0] == documents[1]
    assert identical(
        run(pair, tmp_path / "store", runs=2000), simulate(pair, Speculative(), runs=2000, seed=5, threads=1)
    )


def test_chunk_that_another_process_finished__is_taken_over(pair, tmp_path, whole, identical, monkeypatch):
    right, computed = specsim.scale.running.perform, []

    def other_is_faster(request, **options):
        computed.append(options["first_run"])
        if options["first_run"] == 0:
            with monkeypatch.context() as context:
                context.setattr("specsim.scale.running.perform", right)
                run(pair, tmp_path)
        return right(request, **options)

    monkeypatch.setattr("specsim.scale.running.perform", other_is_faster)
    assert identical(run(pair, tmp_path), whole)
    assert computed == [0]


def test_population__is_stored_as_one(pair, tmp_path, identical, monkeypatch):
    options = {"runs": 10**12, "seed": 5, "engine": "population", "chunk_runs": None}
    whole = run(pair, None, **options)
    assert identical(run(pair, tmp_path, **options), whole)
    monkeypatch.setattr("specsim.scale.running.perform", lambda *a, **b: pytest.fail("computed again"))
    assert identical(run(pair, tmp_path, **options), whole)
    assert [path.name for path in chunks(tmp_path)] == [f"0-{10**12}.npz"]
    with pytest.raises(pytest.fail.Exception, match="computed again"):
        run(pair, tmp_path, **{**options, "runs": 10**12 + 1})


def test_seed__must_be_given(pair, tmp_path):
    with pytest.raises(InputError, match="seed is None; a simulation with a store needs its seed"):
        run(pair, tmp_path, seed=None)


def test_identity__is_of_the_request_not_of_its_length(pair, tmp_path):
    one, two = (
        store.ChunkStore(tmp_path, check_request(pair, Speculative(), runs=runs, seed=1)).identity
        for runs in (10, 20)
    )
    assert one == two
