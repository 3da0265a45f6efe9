"""Reading regular files only, and writing files so that no half-written file remains."""

import glob
import os
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from specsim.errors import InputError

#: Largest file that `read_file` reads by default: 1 GiB.
MOST_BYTES = 2**30
#: Temporary files of another machine are removed when they are this many seconds old.
_ABANDONED = 24 * 3600.0
_written = 0


def files_written() -> int:
    """Return how many files `replacing` has written in this process."""
    return _written


def read_file(path: str | os.PathLike[str], remedy: str, *, most_bytes: int = MOST_BYTES) -> bytes:
    """Return the contents of a regular file.

    path: the file.
    remedy: end of the error message, such as ``"give a CSV or JSON file"``.
    most_bytes: largest size that is read.
    InputError: the file cannot be read, is a folder, a device or a pipe, or is larger than `most_bytes`.

    Examples
    --------
    >>> read_file("/dev/null", "give a text")
    Traceback (most recent call last):
    specsim.errors.InputError: cannot read /dev/null: it is a device or a pipe; give a text
    """
    check_regular(path, remedy, most_bytes=most_bytes)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; {remedy}") from None


def check_regular(path: str | os.PathLike[str], remedy: str, *, most_bytes: int | None = None) -> None:
    """Raise `InputError` unless `path` is a regular file of at most `most_bytes`; nothing is opened."""
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"cannot read {path!r}: it is not the path of a file; {remedy}")
    try:
        found = os.stat(path)
    except (OSError, TypeError, ValueError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else error
        raise InputError(f"cannot read {path}: {reason}; {remedy}") from None
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"cannot read {path}: it is a folder; {remedy}")
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"cannot read {path}: it is a device or a pipe; {remedy}")
    if most_bytes is not None and found.st_size > most_bytes:
        raise InputError(
            f"cannot read {path}: it has {found.st_size} bytes, more than {most_bytes}; {remedy}"
        )


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path next to `path`, moved onto `path` when the block ends without an error.

    path: the file to write. Its folder is created when missing.
    Yields: a fresh name in the same folder, with the same suffix. It is removed when the block raises.
    InputError: the folder or the file cannot be written (permissions, full disk, a folder of that name).
    """
    target = Path(path)
    try:
        if target.is_dir():
            raise InputError(f"cannot write {target}: it is a folder; give a file name")
        if target.exists() and not target.is_file():
            # Moving a file onto a device or a pipe would replace it.
            raise InputError(f"cannot write {target}: it is a device or a pipe; give a file name")
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        prefix = f".{target.stem}-{_machine()}-{os.getpid()}-"
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=target.suffix, dir=target.parent)
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
        global _written
        _written += 1
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(
            f"cannot write {target}: {error.strerror or error}; free some space or choose another folder"
        ) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _machine() -> str:
    return "".join(letter for letter in socket.gethostname() if letter.isalnum())[:32] or "host"


def _remove_abandoned(target: Path) -> None:
    """Remove the temporary files of writers of `target` that were killed."""
    head, machine = f".{target.stem}-", _machine()
    for name in glob.glob(f"{glob.escape(head)}*-*-*{glob.escape(target.suffix)}", root_dir=target.parent):
        owner, _, process = name[len(head) :].rpartition("-")[0].rpartition("-")
        place = target.parent / name
        with suppress(OSError):
            old = time.time() - place.stat().st_mtime > _ABANDONED
            if process.isdigit() and (old or (owner == machine and not _is_running(int(process)))):
                place.unlink()


def _is_running(process: int) -> bool:
    if os.name == "nt":
        # Signal 0 would end the process there; only age decides.
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` in UTF-8, atomically.

    InputError: the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_writable_folder(folder: str | os.PathLike[str]) -> None:
    """Create `folder` when missing and make sure that files can be written there.

    InputError: they cannot.
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
