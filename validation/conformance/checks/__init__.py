"""The checks, in the order in which they run: prerequisites first, then cheap before expensive."""

from functools import cache
from importlib import import_module

from specsim.validation.conformance.checks.base import Check

__all__ = ["Check", "all_checks"]

_MODULES = (
    "contract", "layouts", "forced", "step", "decoder", "tree", "options", "texts", "edges", "edge_rows",
    "batches", "requests", "seeds", "repeated", "drafts", "noise", "reported", "lengths", "sizes", "rounds",
    "combinations",
)  # fmt: skip


@cache
def all_checks() -> tuple[Check, ...]:
    """Return every check: ``CHECKS`` of each module of this package."""
    found: list[Check] = []
    for module in _MODULES:
        found.extend(import_module(f"{__name__}.{module}").CHECKS)
    return tuple(found)
