"""Deliberately wrong samplers that the oracle must reject, and unusual right ones that it must pass."""

from benchmarks.zoo.model import (
    Control,
    Mutant,
    all_controls,
    all_mutants,
    get_controls,
    get_mutants,
)

__all__ = ["Control", "Mutant", "all_controls", "all_mutants", "get_controls", "get_mutants"]


def __getattr__(name: str) -> object:
    """Collect ``MUTANTS`` and ``CONTROLS`` when they are first asked for."""
    if name == "MUTANTS":
        return all_mutants()
    if name == "CONTROLS":
        return all_controls()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
