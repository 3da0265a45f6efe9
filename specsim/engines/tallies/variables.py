"""The registry of result variables: dims, dtype and one sentence for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from specsim.engines.tallies.consistency import contradiction
from specsim.errors import InputError

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A variable of a result.

    Attributes
    ----------
    name, dims
        As in the Dataset.
    dtype
        NumPy name of the dtype.
    meaning
        One sentence.
    required
        Whether every result has it.
    """

    name: str
    dims: tuple[str, ...]
    meaning: str
    dtype: str = "int64"
    required: bool = True


#: All variables of a result, in order.
VARIABLES: dict[str, Variable] = {
    variable.name: variable
    for variable in (
        Variable(
            name="rejections_by_step", dims=("step",), meaning="Runs in which the position was rejected."
        ),
        Variable(name="rejection_count", dims=("rejections",), meaning="Runs with so many rejections."),
        Variable(
            name="target_call_count",
            dims=("calls",),
            meaning="Runs with so many target calls.",
            required=False,
        ),
        Variable(
            name="accepted_length_count",
            dims=("accepted",),
            meaning="Rounds, over all runs, with so many accepted drafted tokens.",
            required=False,
        ),
        Variable(
            name="accepted_length_square_sum",
            dims=("accepted",),
            meaning="Sum over runs of the square of the run's number of rounds with so many accepted "
            "drafted tokens.",
            required=False,
        ),
        Variable(
            name="first_accepted_length_count",
            dims=("accepted",),
            meaning="Runs whose first round accepted so many drafted tokens.",
            required=False,
        ),
        Variable(
            name="token_count", dims=("step", "token"), meaning="Runs that emitted the token at the step."
        ),
        Variable(
            name="transition_count",
            dims=("step", "context", "token"),
            meaning="Runs that emitted the token in the context at the step; kept where steps x contexts x "
            "tokens is small.",
            required=False,
        ),
        Variable(
            name="outcome_count",
            dims=("path", "rejected"),
            meaning="Runs with this emitted sequence (in base tokens, first token most significant) and this "
            "set of rejected positions (bit n-1 for position n).",
            required=False,
        ),
        Variable(name="rejections_of_run", dims=("run",), meaning="Rejections of each run.", required=False),
    )
}

#: Variables of the rounds, kept unless only rejections are tallied.
ROUND_VARIABLES = (
    "target_call_count",
    "accepted_length_count",
    "accepted_length_square_sum",
    "first_accepted_length_count",
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

    Checked are names, dims, dtypes and sizes, the attributes, that no count is negative, and the sums that
    the number of runs fixes.
    """
    for name in ATTRIBUTES:
        if name not in dataset.attrs:
            raise InputError(f"result has no attribute {name}; give a result of specsim.simulate")
    for name, variable in VARIABLES.items():
        if variable.required and name not in dataset:
            raise InputError(f"result has no variable {name}; give a result of specsim.simulate")
    runs, horizon = int(dataset.attrs["runs"]), int(dataset.attrs["horizon"])
    sizes = {"step": horizon, "run": runs} | dict.fromkeys(("rejections", "calls", "accepted"), horizon + 1)
    sums = {
        "rejection_count": runs,
        "target_call_count": runs,
        "first_accepted_length_count": runs,
        "token_count": runs * horizon,
        "transition_count": runs * horizon,
        "outcome_count": runs,
    }
    for name in map(str, dataset.data_vars):
        if name not in VARIABLES:
            raise InputError(
                f"result has the unknown variable {name}; register it in specsim.engines.tallies.variables"
            )
        variable, array = VARIABLES[name], dataset[name]
        if array.dims != variable.dims or array.dtype != variable.dtype:
            raise InputError(
                f"result variable {name} is {array.dtype} over {array.dims}; "
                f"it must be {variable.dtype} over {variable.dims}"
            )
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
    lines = ["| variable | dims | dtype | meaning |", "|---|---|---|---|"]
    for variable in VARIABLES.values():
        kept = "" if variable.required else " Optional."
        dims = ", ".join(variable.dims)
        lines.append(f"| `{variable.name}` | `({dims})` | {variable.dtype} | {variable.meaning}{kept} |")
    lines += ["", "| attribute | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in ATTRIBUTES.items()]
    return "\n".join(lines) + "\n"
