"""Accepted lengths of a measurement, observed and predicted, and how its means are estimated."""

from typing import Any

import numpy as np

from specsim.models.along_path import Run
from specsim.support.arrays import Array, Floats, Integers
from specsim.support.intervals import Estimate, ratio_over

#: The entries_of numbers of an estimate.
STATISTICS = ("value", "standard_error", "low", "high")


def accepted_lengths(
    runs: list[list[Run]],
    accepted: list[list[list[int]]],
    counts: Floats | None,
    calls: Integers,
    new_tokens: int,
    level: float,
) -> dict[str, Any]:
    """Return the accepted-length law and block efficiency, observed and predicted.

    runs: by repeat and prompt.
    accepted: accepted lengths of the rounds, by repeat and prompt.
    counts: expected rounds by accepted length, shape ``(repeats, prompts, lengths)``, or None.
    calls: target calls, shape ``(repeats, prompts)``.
    new_tokens: tokens of each continuation.
    level: confidence of each interval.
    """
    longest = max(int(run.drafted.max()) for row in runs for run in row)
    observed = np.zeros((*calls.shape, longest + 1), dtype=np.int64)
    for repeat, prompts in enumerate(accepted):
        for prompt, rounds_of_prompt in enumerate(prompts):
            np.add.at(observed[repeat, prompt], np.asarray(rounds_of_prompt, dtype=np.int64), 1)
    emitted = np.full(calls.shape, float(new_tokens))

    def law(rounds: Floats) -> list[list[float]]:
        total = by_prompt(rounds.sum(axis=2))
        return [
            entries_of(ratio_over(by_prompt(rounds[:, :, length]), total, level))
            for length in range(longest + 1)
        ]

    values: dict[str, Any] = {
        "accepted_length_count": observed.sum(axis=(0, 1)),
        "accepted_length_law": law(observed.astype(np.float64)),
        "block_efficiency_estimate": entries_of(ratio_over(by_prompt(emitted), by_prompt(calls), level)),
    }
    if counts is not None:
        values["predicted_accepted_length_law"] = law(counts)
        values["predicted_block_efficiency_estimate"] = entries_of(
            ratio_over(by_prompt(emitted), by_prompt(counts.sum(axis=2)), level)
        )
    return values


def by_prompt(values: Array) -> Floats:
    """Return means over the repeats; where there is one prompt, the repeats."""
    array = np.asarray(values, dtype=np.float64)
    return array[:, 0] if array.shape[1] == 1 else array.mean(axis=0)


def entries_of(estimate: Estimate) -> list[float]:
    """Return the numbers of an estimate in the order of `STATISTICS`."""
    return [getattr(estimate, name) for name in STATISTICS]
