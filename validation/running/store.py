"""Finished work on disk, so that a long run can be resumed.

Names of files are hashes of all that the content depends on: versions, the source code, the request. A file
that cannot be read back whole is ignored, with a note, and computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import specsim
from specsim.scale.archive import DamagedError, read_archive, write_archive
from specsim.support.files import check_writable_folder, replacing
from specsim.validation.claims_model import Comparison

#: Folders of the package on which no number depends.
_NO_NUMBERS = ("cli", "paper_figures", "__pycache__")


@cache
def source_hash() -> str:
    """Return a SHA-256 of the source code that numbers depend on."""
    import specsim.theory
    import specsim.validation

    digest = hashlib.sha256()
    seen = set()
    for package in (specsim, specsim.theory, specsim.validation):
        root = Path(next(iter(package.__path__)))
        for folder, folders, files in os.walk(root, followlinks=True):
            folders[:] = sorted(name for name in folders if name not in _NO_NUMBERS)
            for name in sorted(files):
                path = Path(folder, name)
                real = path.resolve()
                if path.suffix not in (".py", ".json") or real in seen:
                    continue
                seen.add(real)
                digest.update(f"{package.__name__}/{path.relative_to(root).as_posix()}\n".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@cache
def versions() -> dict[str, str]:
    """Return the versions of the software that numbers depend on."""
    found = {"specsim": specsim.__version__, "python": platform.python_version()}
    for name in ("numpy", "scipy", "numba", "xarray", "python-flint", "sympy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def provenance(argv: list[str] | None = None) -> dict[str, Any]:
    """Return versions, platform, source hash and command of this run."""
    return {
        "versions": versions(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "source": source_hash(),
        "command": " ".join(argv if argv is not None else ["specsim", *sys.argv[1:]]),
    }


class Store:
    """A folder of finished simulations and exact checks.

    Parameters
    ----------
    folder
        Created when missing.
    witnesses
        Name of the witnesses; a mutant never shares results with another.
    note
        Told about files that could not be used.

    Raises
    ------
    InputError
        The folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], witnesses: str, note: Callable[[str], None]) -> None:
        self.folder = Path(folder)
        self._note = note
        self._context = json.dumps([versions(), source_hash(), witnesses])
        check_writable_folder(self.folder)

    def path(self, key: str, suffix: str) -> Path:
        """Return the file of the work named `key`."""
        return self.folder / (hashlib.sha256(f"{self._context}\n{key}".encode()).hexdigest()[:40] + suffix)

    def load_comparisons(self, key: str) -> tuple[Comparison, ...] | None:
        """Return the stored comparisons of an exact check, or None."""
        path = self.path(key, ".json")
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["sha256"] != _digest(document["comparisons"]):
                raise ValueError("its checksum is wrong")
            return tuple(Comparison(**item) for item in document["comparisons"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._unusable(path, error)
            return None

    def save_comparisons(self, key: str, comparisons: tuple[Comparison, ...]) -> None:
        """Store the comparisons of a finished exact check."""
        items = [vars(item) for item in comparisons]
        with replacing(self.path(key, ".json")) as temporary:
            temporary.write_text(
                json.dumps({"sha256": _digest(items), "comparisons": items}), encoding="utf-8"
            )

    def load_tallies(self, key: str) -> Any | None:
        """Return the stored tallies, an `xarray.Dataset`, or None."""
        path = self.path(key, ".npz")
        try:
            dataset, _ = read_archive(path)
        except FileNotFoundError:
            return None
        except DamagedError as error:
            self._unusable(path, error)
            return None
        return dataset

    def save_tallies(self, key: str, dataset: Any) -> None:
        """Store the tallies of a finished part of a simulation."""
        write_archive(self.path(key, ".npz"), dataset, {})

    def _unusable(self, path: Path, error: Exception) -> None:
        self._note(f"stored result {path.name} cannot be used ({error}); computing it again")


def _digest(items: Any) -> str:
    return hashlib.sha256(json.dumps(items, sort_keys=True).encode()).hexdigest()
