"""Wrong counting: the simulation is right, its tallies are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from specsim.validation.mutants.model import Mutant
from specsim.validation.witnesses import Witnesses


def recount(change: Callable[[Any], dict[str, Any]]) -> Callable[[Witnesses], Witnesses]:
    """Return a mutation that replaces the values of some tallies by ``change(dataset)``."""

    def apply(witnesses: Witnesses) -> Witnesses:
        def simulate(*arguments: Any, **options: Any) -> Any:
            dataset = witnesses.simulate(*arguments, **options)
            changed = {name: (dataset[name].dims, values) for name, values in change(dataset).items()}
            return dataset.assign(changed)

        return witnesses.replace(simulate=simulate)

    return apply


def _later_step(dataset: Any) -> dict[str, Any]:
    return {"rejections_by_step": np.roll(dataset["rejections_by_step"].values, 1)}


def _later_token(dataset: Any) -> dict[str, Any]:
    return {"token_count": np.roll(dataset["token_count"].values, 1, axis=0)}


def _calls_are_rejections(dataset: Any) -> dict[str, Any]:
    return {"target_call_count": dataset["rejection_count"].values.copy()}


def _residual_counts_as_accepted(dataset: Any) -> dict[str, Any]:
    changed = {}
    for name in ("accepted_length_count", "accepted_length_square_sum", "first_accepted_length_count"):
        values = dataset[name].values
        changed[name] = np.concatenate([[0], values[:-2], values[-2:].sum(keepdims=True)])
    return changed


def _lost_rejection(dataset: Any) -> dict[str, Any]:
    values = dataset["rejection_count"].values
    return {"rejection_count": np.concatenate([values[:2].sum(keepdims=True), values[2:], [0]])}


MUTANTS = (
    Mutant(
        name="step-axis-shifted",
        description="Rejections are booked one step late.",
        cite="2411.00841, Figures 2b, 2c and 5: the index shift of the plotted batch curves",
        apply=recount(_later_step),
    ),
    Mutant(
        name="token-axis-shifted",
        description="Emitted tokens are booked one step late.",
        cite="NVIDIA/TensorRT-LLM#12588: rows indexed on the wrong axis",
        apply=recount(_later_token),
    ),
    Mutant(
        name="last-round-forgotten",
        description="A round that ends at the horizon without a rejection is not counted as a target call.",
        cite="2411.00841, section 2: calls are identified with rejections",
        apply=recount(_calls_are_rejections),
    ),
    Mutant(
        name="residual-counted-as-accepted",
        description="The token after a rejection is counted as an accepted one.",
        cite="huggingface/transformers#28508: a wrong count of accepted tokens",
        apply=recount(_residual_counts_as_accepted),
        kills=("specsim.laws-speculative",),
    ),
    Mutant(
        name="first-rejection-lost",
        description="The first rejection of a run is not counted.",
        cite="2411.00841: loops start at n = 0 although the first token is x_1",
        apply=recount(_lost_rejection),
    ),
)
