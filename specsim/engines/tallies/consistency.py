"""What the tallies of one result must agree on, whatever was simulated."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[Any]


def contradiction(tallies: Mapping[str, Counts]) -> str | None:
    """Return what two tallies of a result contradict each other in, or None.

    tallies: arrays by name, as in `specsim.engines.tallies.variables`; those that are absent are not
        compared.
    """
    for what, one, other in _comparisons(tallies):
        if not np.array_equal(one, other):
            return what
    return None


def _comparisons(tallies: Mapping[str, Counts]) -> Iterator[tuple[str, Any, Any]]:
    numbers = np.arange(len(tallies["rejection_count"]))
    runs = tallies["rejection_count"].sum()
    by_step = tallies["rejections_by_step"]
    yield (
        "rejections_by_step and rejection_count",
        by_step.sum(),
        (numbers * tallies["rejection_count"]).sum(),
    )
    tokens = tallies["token_count"]
    yield "token_count of the steps and the number of runs", tokens.sum(axis=1), np.full(len(tokens), runs)
    if "transition_count" in tallies:
        yield "transition_count and token_count", tallies["transition_count"].sum(axis=1), tokens
    if "target_call_count" in tallies:
        rounds = (numbers * tallies["target_call_count"]).sum()
        yield "target_call_count and accepted_length_count", rounds, tallies["accepted_length_count"].sum()
        first, every = tallies["first_accepted_length_count"], tallies["accepted_length_count"]
        yield "first_accepted_length_count and accepted_length_count", np.minimum(first, every), first
        # A round emits what it accepts, and at most one token more.
        least = (numbers * every).sum() + by_step.sum()
        most = (numbers * every).sum() + every.sum()
        yield "accepted_length_count and token_count", np.clip(tokens.sum(), least, most), tokens.sum()
    if "accepted_length_square_sum" in tallies:
        for rounds, squares in zip(
            every.tolist(), tallies["accepted_length_square_sum"].tolist(), strict=True
        ):
            # Of whole numbers of rounds: a square has the parity of its root, and the mean square is least
            # where all runs are alike.
            possible = rounds <= squares <= rounds * len(by_step) and squares * int(runs) >= rounds**2
            what = "accepted_length_square_sum and accepted_length_count"
            yield what, possible and (squares - rounds) % 2 == 0, True
    if "round_count" in tallies:
        starts = tallies["round_count"]
        yield "round_count and accepted_length_count", starts.sum(axis=0), tallies["accepted_length_count"]
        yield "round_count and first_accepted_length_count", starts[0], first
        begin, accepted = np.nonzero(starts)
        yield "round_count and the horizon", (begin + accepted).max(initial=0) <= len(by_step), True
    if "outcome_count" in tallies:
        sets = tallies["outcome_count"].sum(axis=0)
        rejected = (np.arange(len(sets))[:, None] >> np.arange(len(by_step))) & 1
        yield "outcome_count and rejections_by_step", (sets[:, None] * rejected).sum(axis=0), by_step
        paths = tallies["outcome_count"].sum(axis=1).reshape((tokens.shape[1],) * len(tokens))
        others = [tuple(i for i in range(len(tokens)) if i != step) for step in range(len(tokens))]
        marginals = np.array([paths.sum(axis=axes) for axes in others])
        yield "outcome_count and token_count", marginals, tokens
    if "rejections_of_run" in tallies:
        counted = np.bincount(tallies["rejections_of_run"], minlength=len(numbers))
        yield "rejections_of_run and rejection_count", counted, tallies["rejection_count"]
