"""Where Numba keeps the compiled kernels: a folder named by a digest of all kernel sources."""

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

_STALE_SECONDS = 30 * 24 * 3600.0
#: Variables of Numba that do not change what a kernel compiles to.
_HARMLESS = ("NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER")
#: All kernels together take about a tenth of this.
_ROOM = 2**26


def sources() -> list[Path]:
    """Files whose text decides what the kernels compile to."""
    here = Path(__file__).resolve().parent
    # The file of a function is in Numba's own key; those of its helpers are not.
    files = [*here.parent.glob("*/kernels/*.py"), *here.parent.glob("literal/*.py"), *here.glob("*.py")]
    return sorted(file for file in files if file.name != "ahead.py")


def compiler() -> str:
    """Spell what machine code depends on and Numba's own cache does not look at: settings and Python."""
    settings = sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith("NUMBA_"))
    return "|".join([sys.version, *(setting for setting in settings if not setting.startswith(_HARMLESS))])


def digest(files: list[Path], made_by: str) -> str:
    """Hash the text of `files` and what the compiler is."""
    state = hashlib.sha256(made_by.encode())
    for file in files:
        state.update(f"|{file.name}|".encode())
        state.update(file.read_bytes())
    return state.hexdigest()[:20]


def cache_root() -> Path:
    """Folder for all versions of the compiled kernels.

    The variable SPECSIM_CACHE_DIR overrides it, then NUMBA_CACHE_DIR.
    """
    chosen = os.environ.get("SPECSIM_CACHE_DIR") or os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return Path(chosen) / "specsim-kernels"
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "specsim" / "kernels"


@cache
def cache_folder() -> Path | None:
    """Return the cache folder for the present sources, or None when nothing can be kept there."""
    try:
        root = cache_root()
        folder = root / digest(sources(), compiler())
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        if shutil.disk_usage(folder).free < _ROOM:
            return None
        os.utime(folder)
    except (OSError, RuntimeError):
        return None
    _prune(root, folder)
    return folder


def _prune(root: Path, keep: Path) -> None:
    """Remove folders of other sources that have not been used for a month."""
    limit = time.time() - _STALE_SECONDS
    with contextlib.suppress(OSError):
        for folder in root.iterdir():
            if folder != keep and folder.is_dir() and folder.stat().st_mtime < limit:
                shutil.rmtree(folder, ignore_errors=True)
