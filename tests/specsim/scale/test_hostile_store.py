"""Files in a store that somebody else put there: never a hang, a traceback or a wrong sum."""

import json
import os
import zipfile

import numpy as np
import pytest

from specsim import InputError, Speculative, paper_pair, simulate
from specsim.errors import StoreWarning
from specsim.scale.archive import read_archive, write_archive

RUNS = 200


def run(folder):
    return simulate(paper_pair(4), Speculative(), runs=RUNS, seed=5, threads=1, store=folder, chunk_runs=100)


@pytest.fixture
def chunk(tmp_path):
    """A store, and the path of its first chunk."""
    run(tmp_path)
    return tmp_path, next(tmp_path.glob("*/0-100.npz"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in the file system")
def test_pipe_in_place_of_a_chunk__is_refused_at_once(chunk):
    folder, path = chunk
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="it is a device or a pipe; delete it"):
        run(folder)


@pytest.mark.parametrize("head", [{}, {"format": "specsim-chunk 1"}, {"software": 3, "request": []}])
def test_forged_head__is_refused(chunk, head):
    folder, path = chunk
    dataset, right = read_archive(path)
    write_archive(path, dataset, {**right, **head} if head else head)
    if head == {"format": right["format"]}:
        run(folder)
        return
    with pytest.raises(InputError, match="is not a chunk of a simulation"):
        run(folder)


def test_chunk_that_unpacks_to_more_than_it_may__is_computed_again(chunk):
    folder, path = chunk
    expected = run(folder)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.npy", bytes(2**24))
    with pytest.warns(StoreWarning, match="it unpacks to"):
        assert run(folder).equals(expected)


def test_tallies_that_contradict_each_other__are_refused(chunk):
    folder, path = chunk
    dataset, head = read_archive(path)
    counts = dataset["rejections_by_step"].values.copy()
    counts[0] += 777
    write_archive(path, dataset.assign(rejections_by_step=("step", counts)), head)
    with pytest.raises(InputError, match="rejections_by_step and rejection_count contradict each other"):
        run(folder)


def test_layout_that_is_not_one__is_damage(tmp_path):
    path = tmp_path / "a.npz"
    text = json.dumps([1])
    np.savez_compressed(path, layout=np.array(text), sha256=np.array(""))
    from specsim.scale import archive

    seal = archive._digest(text, {})
    np.savez_compressed(path, layout=np.array(text), sha256=np.array(seal))
    with pytest.raises(archive.DamagedError):
        read_archive(path)
