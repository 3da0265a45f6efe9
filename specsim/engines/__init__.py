"""Simulators: engines by name, `merge`, and the registry of result variables."""

from specsim.engines.results import merge
from specsim.engines.simulation import ENGINES

__all__ = ["ENGINES", "merge"]
