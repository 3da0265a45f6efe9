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
