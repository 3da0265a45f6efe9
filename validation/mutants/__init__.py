"""Deliberately wrong witnesses. A claim is only worth something when it rejects the ones that concern it."""

from specsim.validation.mutants.model import Mutant, all_mutants, get_mutants

__all__ = ["Mutant", "all_mutants", "get_mutants"]
