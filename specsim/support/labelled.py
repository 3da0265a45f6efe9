"""Labelled results outside the engines: a registry of variables, and Datasets checked against it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.errors import InputError

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True)
class Variable:
    """A variable of a labelled result.

    name, dims: as in the Dataset.
    dtype: numPy name of the dtype.
    meaning: one sentence.
    required: whether every result of the kind has it.
    """

    name: str
    dims: tuple[str, ...]
    meaning: str
    dtype: str = "float64"
    required: bool = True


Registry = Mapping[str, Variable]


def registry(variables: Iterable[Variable]) -> dict[str, Variable]:
    """Return the variables by name, in order."""
    return {variable.name: variable for variable in variables}


def label(
    known: Registry,
    values: Mapping[str, Any],
    *,
    coordinates: Mapping[str, Any] | None = None,
    attributes: Mapping[str, Any],
) -> xarray.Dataset:
    """Build a Dataset of registered variables, each cast to its dtype and described by ``long_name``.

    known: the registry.
    values: arrays or numbers by name.
    coordinates: labels by dim. Defaults to None (no labels).
    attributes: attributes of the Dataset; None becomes the word ``none``.
    """
    import xarray

    data = {}
    for name, variable in known.items():
        if name in values:
            data[name] = (
                variable.dims,
                np.array(values[name], dtype=variable.dtype),
                {"long_name": variable.meaning},
            )
    attrs = {key: "none" if value is None else value for key, value in attributes.items()}
    return xarray.Dataset(data, coords=dict(coordinates or {}), attrs=attrs)


def check(dataset: xarray.Dataset, known: Registry, attributes: Iterable[str], what: str) -> None:
    """Raise `InputError` unless the Dataset has what the registry says, and nothing else.

    dataset: what to check.
    known: the registry.
    attributes: names of the attributes that must be there.
    what: what the Dataset is, for messages.
    """
    for name in attributes:
        if name not in dataset.attrs:
            raise InputError(f"{what} has no attribute {name}; it is damaged or of another kind")
    for name, variable in known.items():
        if variable.required and name not in dataset:
            raise InputError(f"{what} has no variable {name}; it is damaged or of another kind")
    for name in map(str, dataset.data_vars):
        if name not in known:
            raise InputError(f"{what} has the unknown variable {name}; it is of another kind")
        variable, array = known[name], dataset[name]
        if array.dims != variable.dims or array.dtype != np.dtype(variable.dtype):
            raise InputError(
                f"{what}: {name} is {array.dtype} over {array.dims}; "
                f"it must be {variable.dtype} over {variable.dims}"
            )


def markdown(known: Registry) -> str:
    """Render a registry as a Markdown table for the documentation."""
    lines = ["| variable | dims | dtype | meaning |", "|---|---|---|---|"]
    for variable in known.values():
        kept = "" if variable.required else " Optional."
        dims = ", ".join(variable.dims)
        lines.append(f"| `{variable.name}` | `({dims})` | {variable.dtype} | {variable.meaning}{kept} |")
    return "\n".join(lines) + "\n"
