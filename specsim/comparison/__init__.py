"""Algorithms side by side on one pair: `specsim.compare` and what it returns."""

from specsim.comparison.compare import Comparison, compare

__all__ = ["Comparison", "compare"]
