"""The literal engine: tables and working space for the loop, and runs cut into chunks for threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms.structures import Structure
from specsim.engines.running.memory import require
from specsim.engines.running.scheduling import work_through
from specsim.engines.tallies.tally import Tally
from specsim.errors import InputError, TooLargeError
from specsim.pairs import UNIT, ModelPair

if TYPE_CHECKING:
    from specsim.engines.literal.kernels import Kernel
    from specsim.engines.literal.state import Counts, Models, Step, Table
    from specsim.engines.request import Request

_CHUNK_WORK = 2**22
_MOST_CHUNK = 2**16
#: Number of tokens for which a node has random words.
_MOST_NOISE = 2**19 - 4
#: Number of tokens for which a node has random points enough; a row is missed by all with exp(-32).
_MOST_OF_POINTS = 2**12


def check(request: Request) -> None:
    """Raise `InputError` when the engine cannot serve the request."""
    from specsim.engines.literal.kernels import kernel_of

    pair, algorithm = request.pair, request.algorithm
    kernel = kernel_of(algorithm.rule)
    structure = algorithm.structure(request.shape.horizon)
    if structure.size == float("inf"):
        raise InputError("drafts is inf; the limit is known to specsim.theory only, give a whole number")
    if algorithm.drawing == "own" and kernel.propose is None:
        raise InputError(
            f"rule {algorithm.rule.name} draws its own drafts and has no function for it; "
            "give drawn=independent, distinct or greedy"
        )
    most = _most_children(structure)
    if algorithm.drawing in ("distinct", "greedy") and most > pair.tokens:
        raise InputError(
            f"a node has {most} children, more than the {pair.tokens} tokens, and the rule "
            f"{algorithm.rule.name} draws them without repeating one; use fewer children"
        )
    if (kernel.calls("race") or kernel.calls("race_of_all")) and pair.tokens > _MOST_NOISE:
        raise TooLargeError(f"rule {algorithm.rule.name} takes at most {_MOST_NOISE} tokens; use fewer")
    if kernel.calls("point") and pair.tokens > _MOST_OF_POINTS:
        raise TooLargeError(f"rule {algorithm.rule.name} takes at most {_MOST_OF_POINTS} tokens; use fewer")
    for name, parameter in algorithm.rule.parameters.items():
        if parameter.kind == "table":
            _check_table(name, algorithm.parameters[name], pair, request.shape.horizon)


def run(
    request: Request,
    first_run: int,
    runs: int,
    *,
    threads: int,
    rejections_of_run: NDArray[np.int64] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Tally:
    """Simulate some runs of a request; see `specsim.engines.request.Engine`.

    InputError: the rule does not compile, or returned a node or a token that does not exist.
    """
    from specsim.engines.literal.kernels import kernel_of
    from specsim.engines.literal.pointers import loop_and_kernel

    algorithm, shape = request.algorithm, request.shape
    structure = algorithm.structure(shape.horizon)
    work = shape.horizon * len(structure.parents) * (1 + shape.tokens // 256)
    chunk = max(1, min(_CHUNK_WORK // work, _MOST_CHUNK, -(-runs // threads)))
    workers = min(threads, -(-runs // chunk))
    kernel = kernel_of(algorithm.rule)
    _require(request, kernel, structure, workers)
    step, models = shared_tables(request, kernel, structure)
    loop, verify, propose, drawing = loop_and_kernel(algorithm, kernel)
    tallies = [Tally(shape) for _ in range(workers)]
    own = [own_space(step, models, tally, structure, kernel) for tally in tallies]
    finished = 0

    def decode(worker: int, task: tuple[int, int]) -> None:
        begin, size = task
        space, models, counts = own[worker]
        if rejections_of_run is not None:
            counts = counts._replace(rejections_of_run=rejections_of_run[begin : begin + size])
        wrong = np.zeros(3, np.int64)
        space.key[0] = request.seed
        try:
            status = loop(
                verify, propose, drawing, algorithm.whole_bonus, space, models, counts,
                np.uint64(first_run + begin), size, wrong,
            )  # fmt: skip
        except Exception as error:
            if not kernel.own:
                raise
            raise InputError(
                f"{_place(request)} fails: {type(error).__name__}: {error}; "
                "check its indices against step.first, step.row and the number of tokens"
            ) from error
        if status:
            raise InputError(f"{_place(request)} {_fault(status, *map(int, wrong), tokens=shape.tokens)}")

    def report(task: tuple[int, int]) -> None:
        nonlocal finished
        finished += task[1]
        if progress is not None:
            progress(finished)

    work_through(_chunks(runs, chunk), decode, threads=workers, done=report)
    total = tallies[0]
    for tally in tallies[1:]:
        total.add(tally)
    return total


def table(weights: NDArray[np.uint64]) -> Table:
    """Lay out rows of integer weights ``(R, V)`` that sum to 2^32 for exact draws."""
    from specsim.engines.literal.state import Table

    rows, tokens = weights.shape
    # Four cells or more per token, so that most draws need no walk; one in wide rows, which fill the caches.
    bits = max(1, int(tokens - 1).bit_length() + (2 if tokens <= 256 else 0))
    shift = np.uint64(32 - bits)
    ends = np.cumsum(weights, axis=1, dtype=np.uint64)
    # The first token that a cell can mean: as many as end before it.
    cells = ((ends + (np.uint64(1) << shift) - np.uint64(1)) >> shift).astype(np.int64)
    cells += np.arange(rows)[:, None] * (2**bits + 1)
    counts = np.bincount(cells.ravel(), minlength=rows * (2**bits + 1)).reshape(rows, -1)
    guide = np.ascontiguousarray(np.cumsum(counts[:, :-1], axis=1).astype(np.uint32))
    return Table(last=(ends - np.uint64(1)).astype(np.uint32), guide=guide, shift=shift)


def profile(target: NDArray[np.float64], draft: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quotients draft / target of each row, sorted, and the sums of both before each.

    Shape ``(R, 3, V + 1)``: quotients, sums of the target, sums of the draft.
    """
    found = np.zeros((len(target), 3, target.shape[1] + 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        quotients = np.where(target > 0, draft / target, np.inf)
    order = np.argsort(quotients, axis=1, kind="stable")
    found[:, 0, -1] = np.inf
    found[:, 0, :-1] = np.take_along_axis(quotients, order, axis=1)
    for place, rows in ((1, target), (2, draft)):
        found[:, place, 1:] = np.cumsum(np.take_along_axis(rows, order, axis=1), axis=1)
    return found


def shared_tables(request: Request, kernel: Kernel, structure: Structure) -> tuple[Step, Models]:
    """Build what all workers share; their working space is empty here."""
    from specsim.engines.literal.helpers import WIDE
    from specsim.engines.literal.state import Models, Step

    pair, algorithm, horizon = request.pair, request.algorithm, request.shape.horizon
    tokens, contexts = pair.tokens, pair.contexts
    target, draft = pair.target.reshape(-1, tokens), pair.draft.reshape(-1, tokens)
    param = np.zeros((0, 0))
    if kernel.prepare is not None:
        param = np.ascontiguousarray(
            kernel.prepare(target, draft, structure, **algorithm.parameters), dtype=np.float64
        )
        least = contexts * min(pair.steps, horizon)
        if param.ndim != 2 or len(param) % contexts or len(param) < least:
            raise InputError(
                f"{_place(request)}: prepare returned shape {param.shape}; "
                f"return numbers for each of the {len(target)} rows"
            )
    # Tables of parameters may tell steps apart where the pair does not.
    steps = max(pair.steps, len(param) // contexts)
    target, draft = (_repeat(rows, steps * contexts) for rows in (target, draft))
    target_weights, draft_weights = ((rows * float(UNIT)).astype(np.uint64) for rows in (target, draft))
    most = _most_children(structure)
    likeliest = np.argsort(-draft, axis=1, kind="stable")[:, :most] if algorithm.drawing == "greedy" else None
    wide = tokens >= WIDE and kernel.calls("excess")
    step = Step(
        parent=np.array(structure.parents, np.int64),
        first=np.array(structure.first, np.int64),
        row=np.zeros(0, np.int64),
        token=np.zeros(0, np.int64),
        coin=np.zeros(0),
        target=_frozen(target),
        draft=_frozen(draft),
        param=_frozen(param),
        room=np.zeros((0, 0)),
        weight=np.zeros(0),
        key=np.zeros(3, np.uint64),
        table=table(target_weights),
        profile=profile(target, draft) if wide else np.zeros((0, 3, 1)),
    )
    models = Models(
        depth=np.array(structure.depths, np.int64),
        within=np.array(structure.nodes_within, np.int64),
        context=np.zeros(0, np.int64),
        offset=np.minimum(np.arange(horizon + 1, dtype=np.int64), min(steps, horizon) - 1) * contexts,
        next_context=_frozen(pair.next_context),
        prompt=table(pair.initial_weights[None]),
        draft=table(draft_weights),
        likeliest=np.zeros((0, 0), np.int64) if likeliest is None else np.ascontiguousarray(likeliest),
    )
    return step, models


def own_space(
    step: Step, models: Models, tally: Tally, structure: Structure, kernel: Kernel
) -> tuple[Step, Models, Counts]:
    """Return the working space and the counts of one worker."""
    from specsim.engines.literal.state import Counts

    nodes, depth, shape = len(structure.parents), structure.depth, tally.shape
    places = np.zeros(shape.horizon, np.int64)
    own_step = step._replace(
        row=np.zeros(nodes, np.int64),
        token=np.zeros(nodes, np.int64),
        coin=np.zeros(nodes),
        room=np.zeros(_room(kernel, depth, shape.tokens)),
        weight=np.zeros(nodes),
        key=np.zeros(3, np.uint64),
    )
    counts = Counts(
        rejections_by_step=tally.rejections_by_step,
        rejection_count=tally.rejection_count,
        target_call_count=tally.target_call_count,
        accepted_length_count=tally.accepted_length_count,
        accepted_length_square_sum=tally.accepted_length_square_sum,
        first_accepted_length_count=tally.first_accepted_length_count,
        round_count=tally.round_count,
        tokens=tally.tokens,
        outcomes=tally.outcomes,
        width=shape.tokens if shape.transitions else 0,
        path_place=shape.tokens ** np.arange(shape.horizon)[::-1] if shape.outcomes else places,
        rejected_place=2 ** np.arange(shape.horizon) if shape.outcomes else places,
        lengths=np.zeros(depth + 1, np.int64),
        rejections_of_run=np.zeros(0, np.int64),
    )
    counts = counts._replace(
        path_place=np.ascontiguousarray(counts.path_place, np.int64),
        rejected_place=np.ascontiguousarray(counts.rejected_place, np.int64),
    )
    return own_step, models._replace(context=np.zeros(nodes, np.int64)), counts


def _room(kernel: Kernel, depth: int, tokens: int) -> tuple[int, int]:
    """Shape of the working rows, where the rule uses any."""
    return (depth + 2, tokens) if kernel.own or kernel.calls("room") else (1, 1)


def _require(request: Request, kernel: Kernel, structure: Structure, workers: int) -> None:
    pair = request.pair
    rows = pair.steps * pair.contexts
    space = 8 * int(np.prod(_room(kernel, structure.depth, pair.tokens))) + 48 * len(structure.parents)
    size = rows * (96 if kernel.calls("excess") else 64) * pair.tokens
    require(
        size + (workers + 1) * (request.shape.bytes + space),
        f"tables of {rows} rows, {len(structure.parents)} nodes and tallies of {workers} threads",
        "use fewer drafts, tokens, contexts or threads, or a shorter horizon",
    )


def _check_table(name: str, values: NDArray[Any], pair: ModelPair, horizon: int) -> None:
    if values.shape[1:] != (pair.contexts, pair.tokens):
        raise InputError(
            f"{name} has shape {values.shape} but the pair has {pair.contexts} contexts and "
            f"{pair.tokens} tokens; give (steps or 1, {pair.contexts}, {pair.tokens})"
        )
    if 1 < values.shape[0] < horizon:
        raise InputError(f"{name} has {values.shape[0]} steps; give 1 or at least the horizon {horizon}")


def _most_children(structure: Structure) -> int:
    first = structure.first
    return max(first[node + 1] - first[node] for node in range(len(first) - 1))


def _repeat(rows: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Repeat all rows, or drop the last ones, so that there are `count`."""
    return rows if len(rows) == count else np.ascontiguousarray(np.resize(rows, (count, rows.shape[1])))


def _frozen(values: NDArray[Any]) -> NDArray[Any]:
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False
    return view


def _chunks(runs: int, size: int) -> Iterator[tuple[int, int]]:
    for begin in range(0, runs, size):
        yield begin, min(size, runs - begin)


def _place(request: Request) -> str:
    """Name the rule and where its text stands."""
    from specsim.engines.literal.kernels import kernel_of

    rule = request.algorithm.rule
    code = kernel_of(rule).verify.__code__
    return f"rule {rule.name} ({code.co_filename}, line {code.co_firstlineno})"


def _fault(status: int, stop: int, final: int, nodes: int, *, tokens: int) -> str:
    """Say what a rule must not return."""
    from specsim.engines.literal import loop

    returned = f"returned ({stop}, {final})"
    if status == loop.NO_NODE:
        return f"{returned}, but the nodes are 0 to {nodes - 1}; return the node at which the walk ends"
    if status == loop.NO_TOKEN:
        return f"{returned}, but the tokens are 0 to {tokens - 1}; return a token, or -1 at a leaf"
    if status == loop.LEAF_WITH_TOKEN:
        return f"{returned}, but node {stop} is a leaf, after which the loop draws; return -1 there"
    return f"{returned}, but node {stop} is not a leaf; return the token that replaces the rejected ones"
