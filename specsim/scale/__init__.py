"""Simulations in chunks: here, on a cluster, resumed from a store; and sweeps of many of them."""

from specsim.scale.simulation import simulate
from specsim.scale.sweeps import sweep

__all__ = ["simulate", "sweep"]
