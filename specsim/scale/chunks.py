"""How a request is cut: from what is asked alone, never from threads, workers or timing."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from specsim.engines.request import Request
from specsim.errors import InputError
from specsim.support.checks import whole

#: Numbers of the first run and of the run after the last one.
Range = tuple[int, int]

#: Emitted tokens per chunk, about half a second of one core; of the torch engine some seconds of one core, or
#: a small part of one of a graphics processor.
_POSITIONS = {"literal": 2**22, "lockstep": 2**27, "alias": 2**29, "torch": 2**25}
#: Emitted tokens per cell that make the building of tables and writing of tallies negligible.
_POSITIONS_PER_CELL = 64
_MOST_CHUNKS = 1024


def chunk_size(request: Request, chunk_runs: int | None = None) -> int:
    """Return the runs per chunk.

    The own choice is a power of two, so that chunks of a longer simulation are unions of those of a shorter
    one or equal to them.

    request: what is simulated.
    chunk_runs: what the caller wants. Defaults to None: own choice.
    InputError: `chunk_runs` is out of range, or given for an engine whose requests cannot be cut.
    """
    if not request.divisible:
        if chunk_runs is not None:
            raise InputError(
                f"chunk_runs is {chunk_runs}, but the {request.engine} engine draws all runs at once; "
                "leave it out"
            )
        return request.runs
    if chunk_runs is not None:
        return whole("chunk_runs", chunk_runs, 1, 2**62)
    horizon, pair = request.shape.horizon, request.pair
    cells = min(pair.steps, horizon) * pair.contexts * pair.tokens + request.shape.bytes // 8
    positions = max(_POSITIONS[request.engine], _POSITIONS_PER_CELL * cells)
    size = max(positions // horizon, -(-request.runs // _MOST_CHUNKS), 1)
    return 1 << (size - 1).bit_length()


def gaps(wanted: Range, done: Iterable[Range], size: int) -> Iterator[Range]:
    """Cut what is not done at the multiples of `size`.

    wanted: the runs of the request.
    done: disjoint ranges within `wanted`.
    size: runs per chunk.
    Yields: ranges in order; together with `done` they are `wanted`.
    """
    start, stop = wanted
    for (_, begin), (end, _) in pairwise([(start, start), *sorted(done), (stop, stop)]):
        while begin < end:
            cut = min(end, (begin // size + 1) * size)
            yield begin, cut
            begin = cut


def usable(wanted: Range, stored: Iterable[Range]) -> list[Range]:
    """Choose disjoint stored ranges within `wanted`, preferring long ones where they overlap."""
    chosen: list[Range] = []
    reached = wanted[0]
    for start, stop in sorted(stored, key=lambda piece: (piece[0], -piece[1])):
        if start >= reached and stop <= wanted[1]:
            chosen.append((start, stop))
            reached = stop
    return chosen
