"""Reading and writing netCDF files of Datasets."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specsim.errors import InputError
from specsim.support.files import check_regular, replacing

if TYPE_CHECKING:
    import xarray


def read_netcdf(path: str | os.PathLike[str], what: str, remedy: str) -> xarray.Dataset:
    """Read a whole netCDF file into memory.

    path: the file.
    what: what it should hold, such as ``"a pair"``.
    remedy: what to do about a damaged file, such as ``"write it again"``.
    InputError: the file cannot be read, is not a regular file, or is not a whole netCDF file.
    """
    import xarray

    place = Path(path)
    check_regular(place, f"give {what}'s netCDF file")
    with _silent():
        try:
            with (
                place.open("rb") as stream,
                xarray.open_dataset(stream, engine="h5netcdf", mask_and_scale=False) as dataset,
            ):
                return dataset.load()
        except PermissionError as error:
            raise InputError(f"cannot read {place}: {error.strerror}; give {what}'s netCDF file") from None
        except Exception as error:
            # The libraries below raise nearly anything for a file that is damaged or of another kind.
            line = (str(error).strip().splitlines() or [type(error).__name__])[0]
            message = f"cannot read {place}: not a whole netCDF file of {what} ({line}); {remedy}"
        raise InputError(message)


def write_netcdf(
    dataset: xarray.Dataset, path: str | os.PathLike[str], *, encoding: dict[str, Any] | None = None
) -> None:
    """Write a Dataset to a netCDF file, which appears under its name when it is complete.

    InputError: the file cannot be written.
    """
    with replacing(path) as temporary, _silent():
        dataset.to_netcdf(temporary, engine="h5netcdf", encoding=encoding)


@contextmanager
def _silent() -> Iterator[None]:
    """Keep the libraries quiet: their warnings, and what the finalisers of half-opened files print."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                yield
            except InputError:
                gc.collect()
                raise
    finally:
        sys.unraisablehook = hook
