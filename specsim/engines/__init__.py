"""Simulators: `specsim.simulate`, `specsim.merge` and the registry of result variables."""

from specsim.engines.results import merge
from specsim.engines.simulation import ENGINES, simulate

__all__ = ["ENGINES", "merge", "simulate"]
