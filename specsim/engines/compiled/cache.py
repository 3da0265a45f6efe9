"""Where compiled kernels are kept, and what they depend on; nothing here needs Numba.

The folder is named after a hash of all kernel sources, of the compiler's versions and settings and of the
processor, so that whatever could change the machine code leads to another folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

from specsim.engines.compiled.cpu import compiled_for

_STALE_SECONDS = 30 * 24 * 3600.0
#: Variables of Numba that do not change what a kernel compiles to.
_HARMLESS = ("NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER")


def sources() -> list[Path]:
    """Files whose text decides what the kernels compile to."""
    here = Path(__file__).resolve().parent
    kernels = [*here.parent.glob("*/kernels/*.py"), *here.glob("*.py")]
    return sorted(file for file in kernels if file.name not in ("native.py", "ahead.py", "cache.py"))


def compiler() -> str:
    """Spell the versions and settings that machine code depends on, and the processor it is for."""
    from importlib.metadata import version

    settings = sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith("NUMBA_"))
    parts = [sys.version, platform.machine(), *(f"{name} {version(name)}" for name in ("numba", "llvmlite"))]
    parts += [setting for setting in settings if not setting.startswith(_HARMLESS)]
    return "|".join([*parts, *compiled_for()])


def digest(files: list[Path], made_by: str) -> str:
    """Hash the text of `files` and what the compiler is."""
    state = hashlib.sha256(made_by.encode())
    for file in files:
        state.update(f"|{file.name}|".encode())
        state.update(file.read_bytes())
    return state.hexdigest()[:20]


def cache_root() -> Path:
    """Folder for all versions of the compiled kernels; the variable SPECSIM_CACHE_DIR overrides it."""
    chosen = os.environ.get("SPECSIM_CACHE_DIR")
    if chosen:
        return Path(chosen) / "kernels"
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "specsim" / "kernels"


@cache
def cache_folder() -> Path | None:
    """Return the cache folder for the present sources, or None when it cannot be written."""
    try:
        root = cache_root()
        folder = root / digest(sources(), compiler())
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        os.utime(folder)
    except (OSError, RuntimeError):
        return None
    _prune(root, folder)
    return folder


def _prune(root: Path, keep: Path) -> None:
    """Remove folders of other sources that nobody has used for a month."""
    limit = time.time() - _STALE_SECONDS
    with contextlib.suppress(OSError):
        for folder in root.iterdir():
            if folder != keep and folder.is_dir() and folder.stat().st_mtime < limit:
                shutil.rmtree(folder, ignore_errors=True)
