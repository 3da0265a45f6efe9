"""Writing files so that nothing half-written is ever left behind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from specsim.errors import InputError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`, moved onto `path` when the block ends without an error.

    Parameters
    ----------
    path
        The file to write. Its folder is created when missing.

    Yields
    ------
    Path
        A fresh name in the same folder, with the same suffix. It is removed when the block raises.

    Raises
    ------
    InputError
        The folder or the file cannot be written (permissions, full disk, a folder of that name).
    """
    target = Path(path)
    try:
        if target.is_dir():
            raise InputError(f"cannot write {target}: it is a folder; give a file name")
        if target.exists() and not target.is_file():
            # Moving a file onto a device or a pipe would replace it.
            raise InputError(f"cannot write {target}: it is a device or a pipe; give a file name")
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise InputError(
            f"cannot write {target}: {error.strerror or error}; choose a writable folder"
        ) from error
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(
            f"cannot write {target}: {error.strerror or error}; free some space or choose another folder"
        ) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` in UTF-8, atomically.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_writable_folder(folder: str | os.PathLike[str]) -> None:
    """Create `folder` when missing and make sure that files can be written there.

    Raises
    ------
    InputError
        They cannot.
    """
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise InputError(f"cannot write in {place}: it is a file; give a folder")
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=".probe-", dir=place):
            pass
    except OSError as error:
        raise InputError(
            f"cannot write in {place}: {error.strerror or error}; choose a writable folder"
        ) from error
