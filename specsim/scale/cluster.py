"""Chunks on a Dask cluster. Workers compute, one chunk per thread; only this process touches the store."""

from __future__ import annotations

import asyncio
import pickle
import threading
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from specsim.engines.request import Request
from specsim.engines.simulation import perform
from specsim.errors import InputError
from specsim.scale.chunks import Range
from specsim.scale.software import software, spell

if TYPE_CHECKING:
    import xarray

#: How long a scheduler and its first worker may take to answer, in seconds.
TIMEOUT = 5.0
WORKER_TIMEOUT = 30.0

_LEAST_IN_FLIGHT = 64
_IN_FLIGHT_PER_THREAD = 4


def on_cluster(
    cluster: Any, requests: Sequence[Request], tasks: Iterator[tuple[int, Range]]
) -> Iterator[tuple[int, Range, xarray.Dataset, bool]]:
    """Compute chunks on a cluster, in any order.

    A chunk whose worker is lost is computed again by another one; Dask sees to it. When the caller stops, or
    anything fails, chunks that are not finished are cancelled.

    cluster: the address of a scheduler, or a `dask.distributed.Client`, which is left open.
    requests: what the tasks are chunks of.
    tasks: numbers of requests, and chunks of them; taken as the workers need them.
    Yields: `new` is always True.
    InputError: Dask is not installed; the scheduler cannot be reached, has no workers, or was lost; workers
        have another version of specsim, or die of a chunk.
    """
    with connected(cluster) as client:
        from distributed import CancelledError
        from distributed.comm.core import CommClosedError

        try:
            threads = _check_workers(client, sorted({request.engine for request in requests}))
            most = max(_LEAST_IN_FLIGHT, _IN_FLIGHT_PER_THREAD * threads)
            yield from _Flight(client, requests, most).run(tasks)
        # Which of the two depends on what the client was doing at the moment.
        except (CommClosedError, CancelledError):
            raise InputError(
                "the scheduler was lost or has cancelled the chunks; finished ones are in the store if one "
                "was given, start again with store="
            ) from None


@contextmanager
def connected(cluster: Any) -> Iterator[Any]:
    """Give a client of the cluster, closed afterwards unless it is the caller's own.

    InputError: as `on_cluster`.
    """
    try:
        import distributed
    except ImportError:
        raise InputError(
            f"cluster is {cluster!r}, but dask.distributed is not installed; "
            "pip install 'specsim-decoding[cluster]'"
        ) from None
    if isinstance(cluster, distributed.Client):
        if cluster.asynchronous or cluster.status != "running":
            state = "asynchronous" if cluster.asynchronous else cluster.status
            raise InputError(f"cluster is a client that is {state}; give a connected client")
        yield cluster
        return
    if not isinstance(cluster, str):
        raise InputError(
            f"cluster is {cluster!r}; give the address of a Dask scheduler, such as 'tcp://10.0.0.1:8786', "
            "or a dask.distributed.Client"
        )
    _check_scheduler(cluster)
    try:
        client = distributed.Client(cluster, timeout=TIMEOUT, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise _unreachable(cluster, error) from None
    try:
        yield client
    finally:
        client.close(timeout=TIMEOUT)


def _unreachable(address: str, error: BaseException) -> InputError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(
        f"cluster is {address!r}, where no Dask scheduler answers ({reason[:160]}); "
        "start one with 'dask scheduler', or correct the address"
    )


def _check_scheduler(address: str) -> None:
    """Ask what answers there. A `Client` would wait for ever for something that is not a scheduler."""
    import distributed

    found: list[Any] = []

    async def ask() -> None:
        arguments = distributed.Security().get_connection_args("client")
        async with distributed.rpc(address, timeout=TIMEOUT, connection_args=arguments) as peer:
            found.append(await peer.identity())

    def wait() -> None:
        try:
            asyncio.run(asyncio.wait_for(ask(), TIMEOUT))
        except TimeoutError:
            found.append(TimeoutError(f"nothing within {TIMEOUT:.0f} s"))
        # What does not speak Dask's language can cause any error in its decoder.
        except Exception as error:
            found.append(error)

    # In its own thread, because a notebook's thread already runs a loop.
    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    thread.join(2 * TIMEOUT)
    answer = found[0] if found else TimeoutError(f"nothing within {2 * TIMEOUT:.0f} s")
    if isinstance(answer, BaseException):
        raise _unreachable(address, answer)
    if answer.get("type") != "Scheduler":
        raise InputError(f"cluster is {address!r}, a Dask {answer.get('type')}; give the scheduler's address")


def _check_workers(client: Any, engines: list[str]) -> int:
    """Return the number of threads of all workers, which must run the same software as this process."""
    try:
        client.wait_for_workers(1, timeout=WORKER_TIMEOUT)
    except TimeoutError:
        raise InputError(
            f"cluster {client.scheduler.address} has no workers; start some with "
            f"'dask worker {client.scheduler.address}'"
        ) from None
    for engine in engines:
        for address, found in client.run(software, engine, on_error="return").items():
            if isinstance(found, OSError):
                # Lost since the question was asked; others go on.
                continue
            if isinstance(found, BaseException):
                raise InputError(
                    f"worker {address} cannot use specsim ({type(found).__name__}: {found}); "
                    "install the same version there"
                )
            _check_software(found, software(engine), f"worker {address}")
    return sum(client.nthreads().values())


def _check_software(found: dict[str, str], expected: dict[str, str], where: str) -> None:
    if found != expected:
        raise InputError(
            f"{where} has {spell(found)}, but here is {spell(expected)}; install the same version there"
        )


def unpack(payload: bytes) -> Request:
    """Unpickle a request; runs on a worker."""
    return pickle.loads(payload)


def compute_chunk(request: Request, chunk: Range, expected: dict[str, str]) -> xarray.Dataset:
    """Compute a chunk; runs on a worker, which may have joined later than all checks."""
    _check_software(software(request.engine), expected, "a worker")
    return perform(request, first_run=chunk[0], runs=chunk[1] - chunk[0], threads=1)


class _Flight:
    """The chunks that are with the cluster."""

    def __init__(self, client: Any, requests: Sequence[Request], most: int) -> None:
        self.client = client
        self.requests = requests
        self.most = most
        # Keys are new in each flight: chunks that another client failed on or cancelled are not seen here.
        self.name = f"specsim-{uuid.uuid4().hex[:12]}"
        self.subjects: dict[int, Any] = {}
        self.pending: dict[Any, tuple[int, Range]] = {}

    def run(self, tasks: Iterator[tuple[int, Range]]) -> Iterator[tuple[int, Range, xarray.Dataset, bool]]:
        """Keep the workers busy until all tasks are done."""
        from distributed import as_completed

        try:
            ready = as_completed(loop=self.client.loop)
            for index, chunk in islice(tasks, self.most):
                ready.add(self._submit(index, chunk))
            # An empty `as_completed` ends, so a new chunk is handed out before a finished one is looked at.
            for future in ready:
                for index, chunk in islice(tasks, 1):
                    ready.add(self._submit(index, chunk))
                dataset = self._result(future)
                index, chunk = self.pending.pop(future)
                future.release()
                yield index, chunk, dataset, True
        finally:
            left = [*self.pending, *self.subjects.values()]
            if self.client.status == "running" and left:
                # A scheduler that is gone has cancelled everything.
                with suppress(OSError, TimeoutError):
                    self.client.cancel(left, force=True)

    def _submit(self, index: int, chunk: Range) -> Any:
        if index not in self.subjects:
            # A task and not scattered data, because Dask can compute it again when workers are lost.
            self.subjects = {
                index: self._send(unpack, pickle.dumps(self.requests[index]), key=f"{self.name}-{index}")
            }
        future = self._send(
            compute_chunk,
            self.subjects[index],
            chunk,
            software(self.requests[index].engine),
            key=f"{self.name}-{index}-{chunk[0]}-{chunk[1]}",
        )
        self.pending[future] = (index, chunk)
        return future

    def _send(self, function: Any, *arguments: Any, key: str) -> Any:
        with warnings.catch_warnings():
            # A request of more than 10 MB is sent once, on purpose.
            warnings.filterwarnings("ignore", message="Sending large graph")
            return self.client.submit(function, *arguments, key=key, pure=False)

    def _result(self, future: Any) -> xarray.Dataset:
        from distributed import KilledWorker

        _, chunk = self.pending[future]
        try:
            dataset: xarray.Dataset = future.result()
        except KilledWorker as error:
            raise InputError(
                f"runs {chunk[0]}..{chunk[1] - 1} brought down {error.allowed_failures + 1} workers of the "
                "cluster; look into the workers' logs (memory?), or give smaller chunks with chunk_runs="
            ) from None
        return dataset
