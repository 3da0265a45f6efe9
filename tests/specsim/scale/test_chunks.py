"""Cutting: everything once, from the request alone."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from specsim import InputError, Speculative
from specsim.engines.simulation import check_request
from specsim.scale.chunks import chunk_size, gaps, usable


@given(
    start=st.integers(0, 60),
    length=st.integers(1, 60),
    size=st.integers(1, 25),
    stored=st.lists(st.tuples(st.integers(0, 130), st.integers(1, 40)), max_size=8),
)
@settings(max_examples=200, deadline=None)
def test_stored_ranges_and_gaps_cover_every_run_once(start, length, size, stored):
    wanted = (start, start + length)
    done = usable(wanted, [(first, first + runs) for first, runs in stored])
    cut = list(gaps(wanted, done, size))
    covered = sorted(run for first, stop in [*done, *cut] for run in range(first, stop))
    assert covered == list(range(*wanted))
    for first, stop in cut:
        assert first < stop
        assert (stop - 1) // size == first // size


def test_usable__prefers_what_covers_more():
    assert usable((0, 10), [(0, 3), (0, 7), (3, 7), (7, 10), (8, 12)]) == [(0, 7), (7, 10)]
    assert usable((2, 10), [(0, 10)]) == []


def test_chunk_size__does_not_know_of_threads_and_nests(pair):
    request = check_request(pair, Speculative(), runs=10**6, seed=1)
    size = chunk_size(request)
    assert size & (size - 1) == 0
    larger = chunk_size(check_request(pair, Speculative(), runs=10**14, seed=1))
    assert larger & (larger - 1) == 0
    assert 10**14 / 1024 <= larger < 2 * 10**14 / 1024
    assert larger % size == 0
    assert chunk_size(request, np.int64(12)) == 12


def test_chunk_size__grows_with_the_tables(pair):
    rows = np.full((2, 1, 5000), 1 / 5000)
    wide = type(pair).from_probabilities(
        rows, rows, initial=[1.0], next_context=np.zeros((1, 5000), int), name="wide"
    )
    request = check_request(wide, Speculative(), runs=10, seed=1, horizon=1)
    assert chunk_size(request) >= 2**27
    assert chunk_size(check_request(wide, Speculative(), runs=10, seed=1)) == 2**26


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, 2**63])
def test_chunk_runs__out_of_range(bad, pair):
    with pytest.raises(InputError, match="chunk_runs is"):
        chunk_size(check_request(pair, Speculative(), runs=10, seed=1), bad)


def test_population__is_one_chunk(pair):
    request = check_request(pair, Speculative(), runs=10**15, seed=1, engine="population")
    assert chunk_size(request) == 10**15
    with pytest.raises(InputError, match="draws all runs at once"):
        chunk_size(request, 5)
