"""Simulators: engines by name, `merge`, and the registry of result variables."""

from specsim.engines.simulation import ENGINES
from specsim.engines.tallies.results import merge

__all__ = ["ENGINES", "merge"]
