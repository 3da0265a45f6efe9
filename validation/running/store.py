"""Finished exact checks on disk, so that a long run can be resumed; simulations have `specsim.scale.store`.

Names of files are hashes of all that the content depends on: versions, the source code, the check. A file
that cannot be read back whole is ignored, with a note, and computed again.
"""

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
from specsim.support.files import check_writable_folder, replacing
from specsim.support.hashes import source_digest
from specsim.validation.claims_model import Comparison

#: Folders of the package on which no number depends.
_NO_NUMBERS = ("cli", "paper_figures")


@cache
def source_hash() -> str:
    """Return a SHA-256 of the source code that numbers depend on."""
    root = Path(specsim.__file__).parent
    parts = sorted(path for path in root.iterdir() if path.name not in _NO_NUMBERS)
    return source_digest(*parts, suffixes=(".py", ".json"))


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


class ComparisonStore:
    """The comparisons of finished exact checks.

    folder: created when missing. Each kind of witnesses has a subfolder, so that a mutant shares nothing.
    witnesses: name of the witnesses.
    note: called with a message about each file that could not be used.
    InputError: the folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], witnesses: str, note: Callable[[str], None]) -> None:
        self.folder = Path(folder, witnesses.replace(" ", "-"))
        self._note = note
        check_writable_folder(folder)
        check_writable_folder(self.folder)

    def _path(self, key: str) -> Path:
        name = json.dumps([versions(), source_hash(), key])
        return self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:40]}.json"

    def load(self, key: str) -> tuple[Comparison, ...] | None:
        """Return the stored comparisons of an exact check, or None."""
        path = self._path(key)
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["sha256"] != _digest(document["comparisons"]):
                raise ValueError("its checksum is wrong")
            return tuple(Comparison(**item) for item in document["comparisons"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._note(f"stored result {path.name} cannot be used ({error}); computing it again")
            return None

    def save(self, key: str, comparisons: tuple[Comparison, ...]) -> None:
        """Store the comparisons of a finished exact check."""
        items = [vars(item) for item in comparisons]
        text = json.dumps({"sha256": _digest(items), "comparisons": items})
        with replacing(self._path(key)) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _digest(items: Any) -> str:
    return hashlib.sha256(json.dumps(items, sort_keys=True).encode()).hexdigest()
