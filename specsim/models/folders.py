"""Folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from specsim.errors import InputError


@contextmanager
def new_folder(
    path: str | os.PathLike[str], *, entries: tuple[str, ...], overwrite: bool = False
) -> Iterator[Path]:
    """Give a temporary folder beside `path`, moved there when the block ends without an error.

    Entered before the work, so that a folder that cannot be written is found out then and not after it.

    Parameters
    ----------
    path
        The folder to make. Its parents are created when missing; an empty folder may be there already.
    entries
        Names of what folders of this kind contain.
    overwrite
        Whether a folder that contains all of `entries` and nothing else may be replaced.

    Yields
    ------
    Path
        An empty folder. It is removed when the block raises.

    Raises
    ------
    InputError
        The folder holds something else, or cannot be written.
    """
    target = Path(path)
    remedy = "choose a writable folder"
    try:
        _check(target, entries, overwrite)
        # The links of a path are followed, so that what they point to is replaced and not they.
        target = target.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; {remedy}") from error
    former = temporary.with_name(temporary.name + "-former")
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        _check(target, entries, overwrite)
        if target.exists():
            target.replace(former)
        temporary.replace(target)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another folder"
        ) from error
    finally:
        if former.exists() and not target.exists():
            former.replace(target)
        for rest in (temporary, former):
            shutil.rmtree(rest, ignore_errors=True)


def _check(target: Path, entries: tuple[str, ...], overwrite: bool) -> None:
    """Refuse a path that holds something which must not be replaced."""
    if not target.exists():
        return
    if not target.is_dir():
        raise InputError(f"cannot write {target}: it is a file; give a folder")
    found = {entry.name for entry in target.iterdir()}
    if not found:
        return
    if found != set(entries):
        raise InputError(f"{target} is not empty; give a new or an empty folder")
    if not overwrite:
        raise InputError(
            f"{target} holds such a result already; ask for it to be overwritten or give another"
        )
