"""Wrong counting: the simulation is right, its tallies are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from specsim.validation.mutants.model import Mutation, defined, mutant
from specsim.validation.witnesses import Witnesses


def recount(change: Callable[[Any], dict[str, Any]]) -> Mutation:
    """Return a mutation that replaces the values of some tallies by ``change(dataset)``."""

    def apply(right: Witnesses) -> Witnesses:
        def simulate(*arguments: Any, **options: Any) -> Any:
            dataset = right.simulate(*arguments, **options)
            changed = {name: (dataset[name].dims, values) for name, values in change(dataset).items()}
            return dataset.assign(changed)

        return right.replace(simulate=simulate)

    return apply


@mutant(recount, cite="2411.00841, Figures 2b, 2c and 5: the index shift of the plotted batch curves")
def step_axis_shifted(dataset: Any) -> dict[str, Any]:
    """Rejections are booked one step late."""
    return {"rejections_by_step": np.roll(dataset["rejections_by_step"].values, 1)}


@mutant(recount, cite="NVIDIA/TensorRT-LLM#12588: rows indexed on the wrong axis")
def token_axis_shifted(dataset: Any) -> dict[str, Any]:
    """Emitted tokens are booked one step late."""
    return {"token_count": np.roll(dataset["token_count"].values, 1, axis=0)}


@mutant(recount, cite="2411.00841, section 2: calls are identified with rejections")
def last_round_forgotten(dataset: Any) -> dict[str, Any]:
    """A round that ends at the horizon without a rejection is not counted as a target call."""
    return {"target_call_count": dataset["rejection_count"].values.copy()}


@mutant(
    recount,
    cite="huggingface/transformers#28508: a wrong count of accepted tokens",
    kills=("specsim.laws-speculative",),
)
def residual_counted_as_accepted(dataset: Any) -> dict[str, Any]:
    """The token after a rejection is counted as an accepted one."""
    changed = {}
    for name in ("accepted_length_count", "accepted_length_square_sum", "first_accepted_length_count"):
        values = dataset[name].values
        changed[name] = np.concatenate([[0], values[:-2], values[-2:].sum(keepdims=True)])
    return changed


@mutant(recount, cite="2411.00841: loops start at n = 0 although the first token is x_1")
def first_rejection_lost(dataset: Any) -> dict[str, Any]:
    """The first rejection of a run is not counted."""
    values = dataset["rejection_count"].values
    return {"rejection_count": np.concatenate([values[:2].sum(keepdims=True), values[2:], [0]])}


MUTANTS = defined(globals())
