"""The registry of result variables: dims, dtype and one sentence for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from specsim.engines.tallies.consistency import contradiction
from specsim.errors import InputError
from specsim.support import labelled
from specsim.support.labelled import Variable, registry

if TYPE_CHECKING:
    import xarray


def _counts(name: str, *dims: str, meaning: str, required: bool = True) -> Variable:
    return Variable(name=name, dims=dims, meaning=meaning, dtype="int64", required=required)


#: All variables of a result, in order.
VARIABLES = registry((
    _counts("rejections_by_step", "step", meaning="Number of runs in which the position was rejected."),
    _counts("rejection_count", "rejections", meaning="Number of runs with k rejections."),
    _counts("target_call_count", "calls", meaning="Number of runs with k target calls.", required=False),
    _counts(
        "accepted_length_count",
        "accepted",
        meaning="Number of rounds, over all runs, with k accepted drafted tokens.",
        required=False,
    ),
    _counts(
        "accepted_length_square_sum",
        "accepted",
        meaning="Sum over runs of the squared number of rounds with k accepted drafted tokens.",
        required=False,
    ),
    _counts(
        "first_accepted_length_count",
        "accepted",
        meaning="Number of runs whose first round accepted k drafted tokens.",
        required=False,
    ),
    _counts(
        "round_count",
        "start", "accepted",
        meaning="Number of rounds, over all runs, that begin at the position (from 0) and accept k drafted "
        "tokens; kept where horizon x (horizon + 1) is at most 2^20.",
        required=False,
    ),
    _counts("token_count", "step", "token", meaning="Number of runs that emitted the token at the step."),
    _counts(
        "transition_count",
        "step", "context", "token",
        meaning="Number of runs that emitted the token in the context at the step; kept where steps x "
        "contexts x tokens is at most 2^20.",
        required=False,
    ),
    _counts(
        "outcome_count",
        "path", "rejected",
        meaning="Number of runs with this emitted sequence (in base tokens, first token most significant) "
        "and this set of rejected positions (bit n-1 for position n).",
        required=False,
    ),
    _counts("rejections_of_run", "run", meaning="Number of rejections of each run.", required=False),
))  # fmt: skip

#: Variables of the rounds, kept unless only rejections are tallied.
ROUND_VARIABLES = (
    "target_call_count",
    "accepted_length_count",
    "accepted_length_square_sum",
    "first_accepted_length_count",
    "round_count",
)

#: Attributes that every result carries.
ATTRIBUTES: dict[str, str] = {
    "specsim": "Version of specsim.",
    "numpy": "Version of NumPy.",
    "numba": "Version of Numba.",
    "engine": "Name of the engine.",
    "seed": "Seed, from 0 to 2^64 - 1.",
    "algorithm": "The algorithm's label.",
    "algorithm_identity": "SHA-256 of the algorithm, tables included.",
    "pair": "The pair's name.",
    "pair_identity": "SHA-256 of the pair.",
    "horizon": "Tokens emitted per run.",
    "runs": "Number of runs.",
    "first_run": "Smallest run number.",
    "run_ranges": "Run numbers as half-open ranges, such as 0:100,200:300.",
}


def check(dataset: xarray.Dataset) -> None:
    """Raise `InputError` unless `dataset` is a result as the registry describes it.

    Checked are names, dims, dtypes and sizes, the attributes, that no count is negative, the sums that the
    number of runs fixes, and that the counts of rounds agree with one another.
    """
    import xarray

    if not isinstance(dataset, xarray.Dataset):
        raise InputError(f"result is {dataset!r}; give a result of specsim.simulate")
    labelled.check(dataset, VARIABLES, ATTRIBUTES, "result")
    runs, horizon = int(dataset.attrs["runs"]), int(dataset.attrs["horizon"])
    sizes = {"step": horizon, "start": horizon, "run": runs} | dict.fromkeys(
        ("rejections", "calls", "accepted"), horizon + 1
    )
    sums = {
        "rejection_count": runs,
        "target_call_count": runs,
        "first_accepted_length_count": runs,
        "token_count": runs * horizon,
        "transition_count": runs * horizon,
        "outcome_count": runs,
    }
    for name in map(str, dataset.data_vars):
        array = dataset[name]
        for dim, size in zip(array.dims, array.shape, strict=True):
            if sizes.get(str(dim), size) != size:
                raise InputError(f"result variable {name} has {size} along {dim}; expected {sizes[str(dim)]}")
        # Reductions by NumPy: those of xarray take longer than many a simulation.
        values = array.values
        if values.size and int(values.min()) < 0:
            raise InputError(f"result variable {name} has a negative count; the result is damaged")
        if name in sums and int(values.sum()) != sums[name]:
            raise InputError(f"result variable {name} sums to {int(values.sum())}; expected {sums[name]}")
    wrong = contradiction({str(name): dataset[name].values for name in dataset.data_vars})
    if wrong:
        raise InputError(f"result variables {wrong} contradict each other; the result is damaged")


def markdown() -> str:
    """Render the registry as Markdown tables for the documentation."""
    lines = ["", "| attribute | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in ATTRIBUTES.items()]
    return labelled.markdown(VARIABLES) + "\n".join(lines) + "\n"
