"""The one loop: every run, round by round, for every rule and every draft structure."""

from typing import Any

import numpy as np

from specsim.engines.literal.compiling import helper
from specsim.engines.literal.drawing import coin_of, draft, draw_row, words

_32 = np.uint64(32)

#: What a rule can return that it must not; the loop stops and the engine explains.
NO_NODE, NO_TOKEN, LEAF_WITH_TOKEN, NOTHING_EMITTED = 1, 2, 3, 4


def simulate(
    verify: Any, propose: Any, drawing: Any, bonus: Any, step: Any, models: Any, counts: Any,
    first_run: Any, runs: Any, wrong: Any,
) -> Any:  # fmt: skip
    """Decode runs from the prompt to the horizon: draft the nodes, verify them, record, move on.

    Parameters
    ----------
    verify, propose
        The kernels of the rule; `propose` is called for drafts of the rule's own alone.
    drawing
        How drafts are drawn; see `specsim.engines.literal.drawing.DRAWINGS`.
    bonus
        Whether a target token follows an accepted path.
    step, models, counts
        See `specsim.engines.literal.state`.
    first_run, runs
        The runs ``first_run .. first_run + runs - 1``.
    wrong
        int64 of shape ``(3,)``: what a faulty rule returned, its stop, its token and the number of nodes.

    Returns
    -------
    int64
        0, or what is wrong with the rule.
    """
    horizon = counts.rejections_by_step.size
    for run in range(runs):
        step.key[1], step.key[2] = np.uint64(first_run) + np.uint64(run), np.uint64(0)
        word, _ = words(step.key, 0, 0)
        models.context[0] = draw_row(models.prompt, 0, word >> _32)
        position, calls, rejections, path, rejected = 0, 0, 0, 0, 0
        while position < horizon:
            nodes = models.within[min(models.within.size - 1, horizon - position)]
            step.key[2] = np.uint64(position + 1)
            step.row[0] = models.offset[position] + models.context[0]
            word, other = words(step.key, 0, 0)
            step.coin[0] = coin_of(other)
            draft(step, models, drawing, propose, nodes, position)

            stop, final = verify(step, nodes)
            status = fault(step, stop, final, nodes)
            if status:
                wrong[0], wrong[1], wrong[2] = stop, final, nodes
                return status

            accepted, node = models.depth[stop], stop
            while node > 0:
                parent = step.parent[node]
                at = position + models.depth[parent]
                path += emit(counts, at, models.context[parent], step.token[node])
                node = parent
            if counts.round_count.size > 0:
                counts.round_count[position, accepted] += 1
            counts.lengths[accepted] += 1
            if calls == 0:
                counts.first_accepted_length_count[accepted] += 1
            calls += 1
            context = models.context[stop]
            position += accepted
            if final >= 0:
                rejections += 1
                counts.rejections_by_step[position] += 1
                rejected += counts.rejected_place[position]
            elif bonus and position < horizon:
                final = draw_row(step.table, step.row[stop], word >> _32)
            if final >= 0:
                path += emit(counts, position, context, final)
                context = models.next_context[context, final]
                position += 1
            models.context[0] = context
        record_run(counts, run, calls, rejections, path, rejected)
    return 0


@helper
def fault(step: Any, stop: Any, final: Any, nodes: Any) -> Any:
    """Return 0, or what is wrong with what a rule returned."""
    if not 0 <= stop < nodes:
        return NO_NODE
    if not -1 <= final < step.target.shape[1]:
        return NO_TOKEN
    leaf = min(step.first[stop + 1], nodes) <= step.first[stop]
    if leaf and final >= 0:
        return LEAF_WITH_TOKEN
    if not leaf and final < 0:
        return NOTHING_EMITTED
    return 0


@helper
def emit(counts: Any, position: Any, context: Any, token: Any) -> Any:
    """Count an emitted token; return what it adds to the number of the sequence."""
    counts.tokens[position, counts.width * context + token] += 1
    return counts.path_place[position] * token


@helper
def record_run(counts: Any, run: Any, calls: Any, rejections: Any, path: Any, rejected: Any) -> None:
    """Count what is known of a run only at its end."""
    counts.rejection_count[rejections] += 1
    counts.target_call_count[calls] += 1
    for accepted in range(counts.lengths.size):
        rounds = counts.lengths[accepted]
        counts.accepted_length_count[accepted] += rounds
        counts.accepted_length_square_sum[accepted] += rounds * rounds
        counts.lengths[accepted] = 0
    if counts.outcomes.size > 0:
        counts.outcomes[path, rejected] += 1
    if counts.rejections_of_run.size > 0:
        counts.rejections_of_run[run] = rejections
