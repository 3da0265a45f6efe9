"""Simulations in chunks: here, on a cluster, resumed from a store; and sweeps of many of them."""

from specsim.scale.simulation import simulate

__all__ = ["simulate"]
