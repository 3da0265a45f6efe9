"""Simulation and theory side by side: `specsim.compare`, `specsim.summary`, and what they return."""

from specsim.comparison.compare import Comparison, compare

__all__ = ["Comparison", "compare"]
