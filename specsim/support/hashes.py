"""Seeds and identities by SHA-256."""

import hashlib
import os
from pathlib import Path


def derived_seed(seed: int, label: str) -> int:
    """Return a seed below 2^63 for one purpose, so that no two purposes share random words.

    Examples
    --------
    >>> derived_seed(1, "left") == derived_seed(1, "right")
    False
    """
    digest = hashlib.sha256(f"{seed}/{label}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def source_digest(*places: Path, suffixes: tuple[str, ...] = (".py",)) -> str:
    """Return a SHA-256, in hexadecimal, of source files: their names and texts.

    places: paths of files and folders; folders are searched, linked ones too.
    suffixes: of the files that count.
    """
    state = hashlib.sha256()
    for place in places:
        files = [place] if place.is_file() else _files(place)
        for file in files:
            if file.suffix in suffixes:
                # Line ends differ between checkouts.
                text = file.read_bytes().replace(b"\r\n", b"\n")
                name = file.relative_to(place.parent).as_posix()
                state.update(f"{name} {len(text)}\n".encode() + text)
    return state.hexdigest()


def _files(folder: Path) -> list[Path]:
    found = [Path(parent, name) for parent, _, names in os.walk(folder, followlinks=True) for name in names]
    return sorted(found)
