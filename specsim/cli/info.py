"""``specsim info``: versions, folders and devices, for a bug report."""

import platform
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from specsim import __version__
from specsim.cli.output import JSON_HELP, show, show_json, table

_HELP = """Print versions, threads, caches and devices; include them when you report an error.

\b
--json prints an object with
  specsim, python, platform   versions
  checkout                    whether it runs from a checkout, and its folder
  packages                    the version of each package that specsim uses, or null
  processors                  those available, which is the default number of threads
  kernel_cache                folder of the compiled kernels (null if none can be kept) and its size in bytes
  torch                       null without torch; else its version and the names of its devices
  report                      what to send when you report an error

\b
Examples:
  specsim info
  specsim info --json"""

_PACKAGES = (
    "numpy", "scipy", "numba", "xarray", "pandas", "h5netcdf", "python-flint", "sympy", "matplotlib", "click",
    "rich", "jinja2", "pytest", "distributed", "torch", "transformers",
)  # fmt: skip
_REPORT = "the command, its output with 'specsim --debug ...', and the output of 'specsim info'"


@click.command("info", help=_HELP)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(as_json: bool) -> None:
    """Print what is installed."""
    found = installation()
    if as_json:
        show_json(found)
        return
    cache, torch = found["kernel_cache"], found["torch"]
    rows: list[tuple[str, str]] = [
        ("specsim", found["specsim"]),
        ("runs from", found["folder"] + (" (a checkout)" if found["checkout"] else "")),
        ("Python", found["python"]),
        ("platform", found["platform"]),
        ("processors", f"{found['processors']} available"),
        (
            "compiled kernels",
            f"{cache['folder']} ({cache['bytes'] / 2**20:.1f} MB)" if cache["folder"] else "not kept",
        ),
        (
            "torch",
            "not installed (extra: torch)"
            if torch is None
            else f"{torch['version']} on {', '.join(torch['devices'])}",
        ),
    ]
    rows += [
        (name, version or "not installed") for name, version in found["packages"].items() if name != "torch"
    ]
    if found["warning"]:
        rows.append(("warning", found["warning"]))
    show(table("Installation", ("", "found"), rows=rows), f"To report an error, send {_REPORT}.")


def installation() -> dict[str, Any]:
    """Return what `command` prints as JSON."""
    from specsim.engines.compiled.cache import cache_folder
    from specsim.engines.running.scheduling import available_cores
    from specsim.support.distributions import foreign_distribution

    folder = Path(__file__).resolve().parent.parent
    cache = cache_folder()
    size = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file()) if cache else 0
    return {
        "specsim": __version__,
        "folder": str(folder),
        "checkout": (folder.parent / "pyproject.toml").is_file(),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "processors": available_cores(),
        "kernel_cache": {"folder": None if cache is None else str(cache), "bytes": size},
        "torch": _torch(),
        "warning": foreign_distribution() or None,
        "report": _REPORT,
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _torch() -> dict[str, Any] | None:
    """Ask torch for its devices, where it is installed."""
    if find_spec("torch") is None:
        return None
    import torch

    devices = [
        f"cuda:{index} {torch.cuda.get_device_name(index)}" for index in range(torch.cuda.device_count())
    ]
    return {"version": str(torch.__version__), "devices": ["cpu", *devices]}
