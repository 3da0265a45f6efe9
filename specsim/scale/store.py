"""A folder of finished chunks, one file each, so that a simulation can be resumed and extended.

Each request has its own folder, named by its identity, so that one store serves many requests. A file
says which runs it holds in its name, and in its contents what they are runs of and what computed them; all of
it is sealed by a SHA-256. Files appear under their names only when they are complete, so that processes may
share a store and may be killed at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
import warnings
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specsim.engines.request import Request
from specsim.engines.tallies.variables import check
from specsim.errors import InputError, StoreWarning
from specsim.scale.archive import DamagedError, read_archive, write_archive
from specsim.scale.chunks import Range
from specsim.scale.software import software, spell
from specsim.support.files import check_writable_folder, replacing

if TYPE_CHECKING:
    import xarray

_FORMAT = "specsim-chunk 2"
#: File in a store that says what its chunks are.
_LABEL = "FORMAT"
_NAME = re.compile(r"([0-9]+)-([0-9]+)\.npz")
#: Age in seconds at which unfinished files of killed writers are removed.
_ABANDONED = 3600.0


def describe_request(request: Request) -> dict[str, Any]:
    """Return in JSON's types what the tallies of a run depend on, and what is tallied."""
    shape = request.shape
    described: dict[str, Any] = {
        "pair": request.pair.identity,
        "algorithm": request.algorithm.identity,
        "engine": request.engine,
        "seed": request.seed,
        "horizon": shape.horizon,
        "transitions": shape.transitions,
        "outcomes": shape.outcomes,
        "rounds": shape.rounds,
        "per_run": request.per_run,
    }
    if not request.divisible:
        described |= {"first_run": request.first_run, "runs": request.runs}
    return described


class ChunkStore:
    """The finished chunks of one request.

    folder: the store, created when missing.
    request: whose chunks.
    InputError: the folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], request: Request) -> None:
        self._request = describe_request(request)
        self._shape = request.shape
        self._software = software(request.engine)
        self.folder = Path(folder) / self.identity[:20]
        check_writable_folder(folder)
        _label(Path(folder))
        check_writable_folder(self.folder)
        self._tidy()

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the request."""
        return hashlib.sha256(json.dumps(self._request, sort_keys=True).encode()).hexdigest()

    def path(self, chunk: Range) -> Path:
        """Return the file of a chunk."""
        return self.folder / f"{chunk[0]}-{chunk[1]}.npz"

    def ranges(self) -> list[Range]:
        """Return the ranges of runs for which there is a file."""
        found = []
        for name in os.listdir(self.folder):
            match = _NAME.fullmatch(name)
            if match and int(match[1]) < int(match[2]):
                found.append((int(match[1]), int(match[2])))
        return sorted(found)

    def load(self, chunk: Range) -> xarray.Dataset | None:
        """Return the tallies of a chunk, or None when there are none that can be used.

        A damaged file is reported by a `StoreWarning`.

        InputError: the file holds tallies of another request or from other software.
        """
        path = self.path(chunk)
        try:
            dataset, head = read_archive(path, most_bytes=self._most_bytes(chunk))
        except FileNotFoundError:
            return None
        except DamagedError as error:
            reason = str(error).splitlines()[0]
            warnings.warn(
                f"stored chunk {path} is damaged ({reason}); computing it again", StoreWarning, stacklevel=2
            )
            return None
        self._refuse_foreign(path, chunk, head)
        try:
            check(dataset)
        except InputError as error:
            raise InputError(f"{path}: {error}; delete it") from None
        return dataset

    def save(self, chunk: Range, dataset: xarray.Dataset) -> None:
        """Store the tallies of a finished chunk.

        InputError: the file cannot be written.
        """
        write_archive(self.path(chunk), dataset, self._head(chunk))

    def _most_bytes(self, chunk: Range) -> int:
        """Size that no chunk of this request exceeds: tallies, coordinates, attributes."""
        shape = self._shape
        labels = shape.horizon + shape.contexts + shape.tokens + sum(shape.outcome_shape)
        return 2 * shape.bytes + 8 * labels + 16 * (chunk[1] - chunk[0]) + 2**20

    def _head(self, chunk: Range) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "request": self._request,
            "software": self._software,
            "first_run": chunk[0],
            "runs": chunk[1] - chunk[0],
        }

    def _refuse_foreign(self, path: Path, chunk: Range, head: dict[str, Any]) -> None:
        expected = self._head(chunk)
        if head == expected:
            return
        remedy = "give another folder, or delete this one"
        kinds = {name: type(value) for name, value in expected.items()}
        if head.get("format") != _FORMAT or kinds != {name: type(value) for name, value in head.items()}:
            raise InputError(f"{path} is not a chunk of a simulation; {remedy}")
        if head["software"] != expected["software"]:
            raise InputError(
                f"{path} was computed by {spell(head['software'])} and this is "
                f"{spell(expected['software'])}; {remedy}"
            )
        differing = [
            name for name, value in expected["request"].items() if head["request"].get(name) != value
        ]
        what = f"another {differing[0]}" if differing else "other runs"
        raise InputError(f"{path} holds runs of another request ({what}); {remedy}")

    def _tidy(self) -> None:
        """Remove the temporary files of killed writers."""
        limit = time.time() - _ABANDONED
        with contextlib.suppress(OSError):
            for path in self.folder.glob(".*.npz"):
                if path.stat().st_mtime < limit:
                    path.unlink()


def _label(folder: Path) -> None:
    """Label a new store; refuse one with chunks from before stores were labelled."""
    label = folder / _LABEL
    if label.exists():
        return
    if any(_NAME.fullmatch(path.name) for path in folder.glob("*/*.npz")):
        raise InputError(
            f"{folder} was filled by an earlier specsim, whose engine 'literal' is called 'lockstep' now; "
            "give another folder, or delete this one"
        )
    with replacing(label) as temporary:
        temporary.write_text(_FORMAT + "\n")
