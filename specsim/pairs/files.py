"""Model pairs as netCDF files, read and written through xarray and verified by their identity."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.errors import InputError
from specsim.pairs import ModelPair, Rounding
from specsim.support.netcdf import read_netcdf, write_netcdf

if TYPE_CHECKING:
    import xarray

#: Written as the attribute ``format``; readers refuse any other.
FORMAT = "specsim-pair 1"

_DIMS = {
    "target": ("step", "context", "token"),
    "draft": ("step", "context", "token"),
    "next_context": ("context", "token"),
    "initial": ("context",),
}
_COMMENTS = {
    "target": "next-token probabilities of the target model, exact multiples of 2^-32",
    "draft": "next-token probabilities of the draft model, exact multiples of 2^-32",
    "next_context": "the context after emitting the token",
    "initial": "law of the first context, exact multiples of 2^-32",
}


def write_pair(pair: ModelPair, path: str | os.PathLike[str]) -> None:
    """Write a pair as netCDF: one file, moved into place when it is complete.

    The variables ``target`` and ``draft`` have dims (step, context, token), ``next_context`` (context,
    token) and ``initial`` (context). A stationary pair has one step. The coordinate ``token`` holds the
    names where there are some. The attributes hold the horizon, the name, the identity (SHA-256) and the
    version of the format.

    Parameters
    ----------
    pair
        The pair.
    path
        The file, by custom with the suffix ``.nc``.

    Raises
    ------
    InputError
        The file cannot be written, or a token's name cannot be stored (a NUL or half a surrogate pair).
    """
    for position, token in enumerate(pair.token_names or ()):
        if "\0" in token or any("\ud800" <= character <= "\udfff" for character in token):
            raise InputError(f"token_names[{position}] is {token!r}, which netCDF cannot hold; rename it")
    dataset = _dataset(pair)
    encoding = {name: {"zlib": True, "complevel": 1} for name in ("target", "draft", "next_context")}
    write_netcdf(dataset, path, encoding=encoding)


def read_pair(path: str | os.PathLike[str]) -> ModelPair:
    """Read a pair written by `write_pair` and verify its identity.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    ModelPair
        Equal to the one written, to the last bit.

    Raises
    ------
    InputError
        The file is missing, unreadable, truncated, not a pair, of another version of the format, or its
        contents do not have the identity that it states.
    """
    place = Path(path)
    arrays, names, attributes = _contents(place, read_netcdf(place, "a pair", "write it again"))
    return _pair(place, arrays, names, attributes)


def _dataset(pair: ModelPair) -> xarray.Dataset:
    import xarray

    coordinates: dict[str, Any] = {
        "step": np.arange(1, pair.steps + 1),
        "context": np.arange(pair.contexts),
    }
    if pair.token_names is not None:
        coordinates["token"] = np.array(pair.token_names, dtype=object)
    else:
        coordinates["token"] = np.arange(pair.tokens)
    return xarray.Dataset(
        {
            name: (dims, np.asarray(getattr(pair, name)), {"comment": _COMMENTS[name]})
            for name, dims in _DIMS.items()
        },
        coords=coordinates,
        attrs={
            "format": FORMAT,
            "horizon": pair.horizon,
            "name": pair.name,
            "identity": pair.identity,
            "lost_target": pair.rounding.lost_target,
            "lost_draft": pair.rounding.lost_draft,
            "lost_initial": pair.rounding.lost_initial,
            "largest_change": pair.rounding.largest_change,
        },
    )


def _contents(
    place: Path, dataset: xarray.Dataset
) -> tuple[dict[str, Any], tuple[str, ...] | None, dict[str, Any]]:
    attributes = dict(dataset.attrs)
    if attributes.get("format") != FORMAT:
        stated = attributes.get("format", "none")
        raise InputError(
            f"cannot read {place}: its format attribute is {stated}, not {FORMAT}; "
            "give a file written by specsim's write_pair"
        )
    for name, dims in _DIMS.items():
        if name not in dataset or dataset[name].dims != dims:
            raise InputError(f"cannot read {place}: no variable {name}{dims}; write it again")
    arrays = {name: dataset[name].values for name in _DIMS}
    labels = dataset["token"].values if "token" in dataset.coords else np.arange(0)
    names = None if np.issubdtype(labels.dtype, np.integer) else tuple(str(label) for label in labels)
    return arrays, names, attributes


def _pair(
    place: Path, arrays: dict[str, Any], names: tuple[str, ...] | None, attributes: dict[str, Any]
) -> ModelPair:
    try:
        rounding = Rounding(
            lost_target=int(attributes["lost_target"]),
            lost_draft=int(attributes["lost_draft"]),
            lost_initial=int(attributes["lost_initial"]),
            largest_change=float(attributes["largest_change"]),
        )
        pair = ModelPair.from_probabilities(
            arrays["target"],
            arrays["draft"],
            initial=arrays["initial"],
            next_context=arrays["next_context"],
            horizon=int(attributes["horizon"]),
            tolerance=0,
            token_names=names,
            name=str(attributes["name"]),
        )
        stated = str(attributes["identity"])
    except InputError as error:
        raise InputError(f"cannot read {place}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"cannot read {place}: an attribute is missing or wrong ({error}); write it again"
        ) from None
    if pair.identity != stated:
        raise InputError(
            f"cannot read {place}: its contents have the identity {pair.identity[:12]}, but it states "
            f"{stated[:12]}; the file was changed after it was written, write it again"
        )
    object.__setattr__(pair, "rounding", rounding)
    return pair
