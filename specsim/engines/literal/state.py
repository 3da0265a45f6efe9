"""What the loop, the kernels and the helpers read and write, in named groups of arrays."""

from typing import Any, NamedTuple


class Table(NamedTuple):
    """Rows for drawing tokens exactly; see `specsim.engines.literal.drawing.draw_row`.

    last: uint32 of shape ``(R, V)``: last 32-bit word that means the token.
    guide: uint32 of shape ``(R, cells)``.
    shift: uint64: number of low bits in which words of a cell may differ.
    """

    last: Any
    guide: Any
    shift: Any


class Step(NamedTuple):
    """What a kernel sees of one verification step: a draft structure of N nodes, node 0 the root.

    parent, first: int64 of shapes ``(N,)`` and ``(N + 1,)``: the structure. Cut at the horizon, only the
        first `nodes` nodes are there: use ``children(step, node, nodes)``.
    row: int64 of shape ``(N,)``: row of the tables after each node.
    token: int64 of shape ``(N,)``: the drafted tokens; that of the root means nothing.
    coin: float64 of shape ``(N,)``: a uniform number in [0, 1) for each node; that of the root is for the
        final draw.
    target, draft: float64 of shape ``(R, V)``: the rows, multiples of 2^-32, read only.
    param: float64 of shape ``(R, P)``: what `prepare` returned, read only; empty without it.
    room, weight: working space, float64 of shapes ``(depth + 2, V)`` and ``(N,)``; what stands there is left
        from earlier steps.
    key: uint64 of shape ``(3,)``: seed, run and slot of the random words; for helpers only.
    table: the target rows for exact draws; for helpers only.
    profile: float64 of shape ``(R, 3, V + 1)``: what `excess` reads for wide vocabularies; empty if it scans.
    """

    parent: Any
    first: Any
    row: Any
    token: Any
    coin: Any
    target: Any
    draft: Any
    param: Any
    room: Any
    weight: Any
    key: Any
    table: Table
    profile: Any


class Models(NamedTuple):
    """What the loop reads besides; the kernels do not see it.

    Attributes
    ----------
    depth
        int64 of shape ``(N,)``: depth of each node.
    within
        int64 of shape ``(depth + 1,)``: number of nodes of depth at most j.
    context
        int64 of shape ``(N,)``, working space: context after each node.
    offset
        int64 of shape ``(H + 1,)``: row of the first context at each position.
    next_context
        int64 of shape ``(C, V)``.
    prompt, draft
        Tables for the first context and for drafted tokens.
    likeliest
        int64 of shape ``(R, k)``: the likeliest draft tokens, for greedy drafts; else empty.
    """

    depth: Any
    within: Any
    context: Any
    offset: Any
    next_context: Any
    prompt: Table
    draft: Table
    likeliest: Any


class Counts(NamedTuple):
    """The tallies of a worker, int64; the names are those of `specsim.engines.tallies.tally.Tally`.

    width: tokens per context in `tokens`, or 0 when contexts are not distinguished.
    path_place, rejected_place: int64 of shape ``(H,)``: what a token, and a rejection, at a position adds to
        the numbers of an outcome; zeros when outcomes are not kept.
    lengths: working space, shape ``(depth + 1,)``, zeros: rounds of the run by accepted length.
    rejections_of_run: shape ``(runs,)``, or empty.
    """

    rejections_by_step: Any
    rejection_count: Any
    target_call_count: Any
    accepted_length_count: Any
    accepted_length_square_sum: Any
    first_accepted_length_count: Any
    round_count: Any
    tokens: Any
    outcomes: Any
    width: Any
    path_place: Any
    rejected_place: Any
    lengths: Any
    rejections_of_run: Any
