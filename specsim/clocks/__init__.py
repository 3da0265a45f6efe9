"""What decoding costs in time: descriptors without behaviour, for theory, simulations and the planner."""

from specsim.clocks.clock import Clock, CostModel, Ticks, check_clock, to_ticks
from specsim.clocks.drafters import DrafterCosts
from specsim.clocks.measured import MeasuredClock, read_clock

__all__ = [
    "Clock",
    "CostModel",
    "DrafterCosts",
    "MeasuredClock",
    "Ticks",
    "check_clock",
    "read_clock",
    "to_ticks",
]
