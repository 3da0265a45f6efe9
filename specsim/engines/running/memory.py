"""How much memory a request may take."""

import contextlib
import os
from pathlib import Path

from specsim.errors import TooLargeError

_UNKNOWN = 4 * 2**30


def available_bytes() -> int:
    """Memory that can still be allocated: what the system reports, within the limit of the control group."""
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text().strip()
        if limit != "max":
            # Cached file pages count as used there but are given up on demand.
            counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            cached = int(counts.get("active_file", 0)) + int(counts.get("inactive_file", 0))
            found.append(int(limit) - int((group / "memory.current").read_text()) + cached)
    if not found and hasattr(os, "sysconf"):
        with contextlib.suppress(OSError, ValueError):
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    return max(0, min(found)) if found else _UNKNOWN


def require(size: int, what: str, remedy: str) -> None:
    """Raise `TooLargeError` when `size` bytes are more than is available.

    size: bytes that are about to be allocated.
    what: what needs them, in words.
    remedy: what to change, in words.
    """
    free = available_bytes()
    if size > free:
        raise TooLargeError(f"{what} would take {size} bytes and {free} are available; {remedy}")
