"""Datasets of integers in single files that prove their own integrity."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.errors import InputError
from specsim.support.files import check_regular, replacing
from specsim.support.interrupts import Held

if TYPE_CHECKING:
    import xarray


class DamagedError(Exception):
    """A file is not what was written: cut short, or changed."""


def write_archive(path: str | os.PathLike[str], dataset: xarray.Dataset, head: dict[str, Any]) -> None:
    """Write a Dataset and a head in JSON's types to one file, moved into place when it is complete.

    path: by custom with the suffix ``.npz``: NumPy reads it too.
    dataset: variables without missing values; attributes are numbers and text.
    head: what else the file says.
    InputError: the file cannot be written.
    """
    layout = {
        "head": head,
        "variables": {str(name): [str(dim) for dim in item.dims] for name, item in dataset.data_vars.items()},
        "coordinates": {str(name): [str(dim) for dim in item.dims] for name, item in dataset.coords.items()},
        "attributes": {
            str(name): value.item() if isinstance(value, np.generic) else value
            for name, value in dataset.attrs.items()
        },
    }
    arrays: dict[str, Any] = {f"variable {name}": item.values for name, item in dataset.data_vars.items()}
    arrays |= {f"coordinate {name}": item.values for name, item in dataset.coords.items()}
    text = json.dumps(layout, sort_keys=True)
    seal = _digest(text, arrays)
    # An exception while NumPy writes leaves a ZipFile that complains when it is deleted.
    with replacing(path) as temporary, Held(), temporary.open("wb") as file:
        np.savez_compressed(file, layout=np.array(text), sha256=np.array(seal), **arrays)


def read_archive(
    path: str | os.PathLike[str], *, most_bytes: int = 2**32
) -> tuple[xarray.Dataset, dict[str, Any]]:
    """Read what `write_archive` wrote.

    path: the file; nothing but a regular file is opened.
    most_bytes: largest size of the unpacked contents that is read.
    FileNotFoundError: there is no such file.
    DamagedError: the file is not whole or was changed, or unpacks to more than `most_bytes`.
    InputError: the file may not be read, or is a device, a pipe or a folder.
    """
    import xarray

    if Path(path).exists():
        check_regular(path, "delete it")
    try:
        # Opened here, because NumPy forgets to close what it cannot read.
        with Path(path).open("rb") as file:
            with zipfile.ZipFile(file) as members:
                size = sum(member.file_size for member in members.infolist())
            if size > most_bytes:
                raise DamagedError(f"it unpacks to {size} bytes, more than {most_bytes}")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        text, seal = str(arrays.pop("layout")), str(arrays.pop("sha256"))
        whole = seal == _digest(text, arrays)
    except (FileNotFoundError, DamagedError):
        raise
    except PermissionError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; change its rights") from None
    # Any byte of a damaged file may be wrong, and every layer below has errors of its own for that.
    except Exception as error:
        raise DamagedError(f"{type(error).__name__}: {error}") from error
    if not whole:
        raise DamagedError("its checksum is wrong")
    try:
        layout = json.loads(text)
        dataset = xarray.Dataset(
            {name: (tuple(dims), arrays[f"variable {name}"]) for name, dims in layout["variables"].items()},
            coords={
                name: (tuple(dims), arrays[f"coordinate {name}"])
                for name, dims in layout["coordinates"].items()
            },
            attrs=layout["attributes"],
        )
        head = layout["head"]
        if not isinstance(head, dict):
            raise TypeError("its head is not an object")
    # A checksum can be right in a file that somebody else has made.
    except Exception as error:
        raise DamagedError(f"{type(error).__name__}: {error}") from error
    return dataset, head


def _digest(text: str, arrays: dict[str, np.ndarray]) -> str:
    state = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        state.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        state.update(array.tobytes())
    return state.hexdigest()
