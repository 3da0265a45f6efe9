"""The pytest plugin: options for `parametrize_with_checks`, and a header that says what they are.

Loaded by every pytest run of an environment that has specsim, so nothing is imported here but what
``import specsim`` itself needs.
"""

from typing import Any

#: What the command line asks for; `parametrize_with_checks` lets it override its own settings.
OPTIONS: dict[str, Any] = {}


def pytest_addoption(parser: Any) -> None:
    """Add the options."""
    group = parser.getgroup("specsim", "conformance of speculative samplers")
    group.addoption(
        "--specsim-effort", choices=("quick", "standard", "deep"), help="Effort of the checks of specsim."
    )
    group.addoption("--specsim-seed", type=int, metavar="N", help="Seed of the checks of specsim.")
    group.addoption("--specsim-alpha", type=float, metavar="P", help="False alarms of each sampler's checks.")
    group.addoption("--specsim-budget", type=float, metavar="SECONDS", help="Time for each sampler's checks.")


def pytest_configure(config: Any) -> None:
    """Remember the options before test modules are collected."""
    OPTIONS.clear()
    for name in ("effort", "seed", "alpha", "budget"):
        value = config.getoption(f"specsim_{name}", default=None)
        if value is not None:
            OPTIONS[name] = value


def pytest_report_header() -> str | None:
    """Say what was asked for."""
    if not OPTIONS:
        return None
    from specsim import __version__

    asked = ", ".join(f"{name} {value}" for name, value in OPTIONS.items())
    return f"specsim {__version__}: {asked}"
