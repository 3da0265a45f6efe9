"""Requests in chunks: stored ones are read, the others computed here or on a cluster, and all are added."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from specsim.engines.request import Request
from specsim.engines.running.scheduling import available_cores
from specsim.engines.simulation import perform
from specsim.engines.tallies.results import merge
from specsim.errors import InputError
from specsim.scale.chunks import Range, chunk_size, gaps, usable
from specsim.scale.store import ChunkStore
from specsim.support.checks import whole

if TYPE_CHECKING:
    import xarray

#: Number of a request, a chunk of it, the tallies, and whether they are new.
Finished = tuple[int, Range, "xarray.Dataset", bool]

_MOST_THREADS = 4096


def check_threads(threads: int | None) -> int:
    """Return the number of threads to use."""
    return available_cores() if threads is None else whole("threads", threads, 1, _MOST_THREADS)


def run_requests(
    requests: Sequence[Request],
    *,
    store: str | os.PathLike[str] | None = None,
    cluster: Any = None,
    threads: int | None = None,
    chunk_runs: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Iterator[tuple[int, xarray.Dataset]]:
    """Compute requests chunk by chunk.

    requests: what to simulate.
    store, cluster, threads, chunk_runs: as in `specsim.simulate`.
    progress: called in the calling thread with the number of finished runs of all requests together.
    Yields: number and result of each request, when it is complete.
    InputError: as `specsim.simulate`.
    """
    if cluster is not None and threads is not None:
        raise InputError(
            f"threads is {threads}, but the workers of a cluster bring their own; leave it out with cluster="
        )
    workers = check_threads(threads)
    jobs = [_Job(request, store, chunk_runs) for request in requests]
    report = _Report(progress)
    for index, job in enumerate(jobs):
        for chunk, dataset in job.stored():
            job.add(chunk, dataset, new=False)
            report.add(chunk)
        if job.complete:
            yield index, job.take()
    waiting = [index for index, job in enumerate(jobs) if not job.complete]
    if not waiting:
        return
    tasks = ((index, chunk) for index in waiting for chunk in jobs[index].missing)
    finished: Iterator[Finished]
    if cluster is None:
        finished = _here(jobs, tasks, workers, report)
    else:
        from specsim.scale.cluster import on_cluster

        finished = on_cluster(cluster, requests, tasks)
    try:
        for index, chunk, dataset, new in finished:
            jobs[index].add(chunk, dataset, new=new)
            report.add(chunk)
            if jobs[index].complete:
                yield index, jobs[index].take()
    finally:
        finished.close()  # type: ignore[attr-defined]


def _here(
    jobs: Sequence[_Job], tasks: Iterator[tuple[int, Range]], threads: int, report: _Report
) -> Iterator[Finished]:
    """Compute the chunks one after the other, each by all threads."""
    for index, chunk in tasks:
        # Another process may have finished it in the meantime.
        known = jobs[index].look_up(chunk)
        if known is not None:
            yield index, chunk, known, False
            continue
        start, stop = chunk
        dataset = perform(
            jobs[index].request,
            first_run=start,
            runs=stop - start,
            threads=threads,
            progress=report.within_chunk,
        )
        yield index, chunk, dataset, True


class _Report:
    """Reports finished runs to the caller."""

    def __init__(self, progress: Callable[[int], object] | None) -> None:
        self._progress = progress
        self._finished = 0

    def within_chunk(self, runs: int) -> None:
        """Report runs of a chunk that is not finished."""
        if self._progress is not None:
            self._progress(self._finished + runs)

    def add(self, chunk: Range) -> None:
        """Report a finished chunk."""
        self._finished += chunk[1] - chunk[0]
        self.within_chunk(0)


class _Job:
    """One request: what is done of it and what is missing."""

    def __init__(
        self, request: Request, store: str | os.PathLike[str] | None, chunk_runs: int | None
    ) -> None:
        self.request = request
        self._wanted: Range = (request.first_run, request.first_run + request.runs)
        self._size = chunk_size(request, chunk_runs)
        self._store = None if store is None else ChunkStore(store, request)
        self._seen: set[Range] = set()
        self._done: list[Range] = []
        self._left = request.runs
        self._sums: list[tuple[int, xarray.Dataset]] = []

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return self._left == 0

    @property
    def missing(self) -> Iterator[Range]:
        """Cut what was not done when this was called."""
        if not self.request.divisible:
            return iter([self._wanted])
        return gaps(self._wanted, tuple(self._done), self._size)

    def stored(self) -> Iterator[tuple[Range, xarray.Dataset]]:
        """Read the chunks that are in the store."""
        if self._store is None:
            return
        self._seen = set(self._store.ranges())
        for chunk in usable(self._wanted, self._seen):
            dataset = self._store.load(chunk)
            if dataset is not None:
                yield chunk, dataset

    def look_up(self, chunk: Range) -> xarray.Dataset | None:
        """Return a chunk's tallies if they have come into the store since `stored` looked."""
        if self._store is None or chunk in self._seen or not self._store.path(chunk).exists():
            return None
        return self._store.load(chunk)

    def add(self, chunk: Range, dataset: xarray.Dataset, *, new: bool) -> None:
        """Store a chunk that is new, and add it up."""
        if new and self._store is not None:
            self._store.save(chunk, dataset)
        self._done.append(chunk)
        self._left -= chunk[1] - chunk[0]
        # Sums of equally many chunks are merged, like the digits of a binary counter: few are held at once,
        # and no chunk is copied often.
        count = 1
        while self._sums and self._sums[-1][0] == count:
            dataset = merge([self._sums.pop()[1], dataset])
            count *= 2
        self._sums.append((count, dataset))

    def take(self) -> xarray.Dataset:
        """Return the result and forget it."""
        parts = [dataset for _, dataset in self._sums]
        self._sums = []
        return merge(parts)
