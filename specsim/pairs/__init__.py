"""Model pairs: what a draft and a target predict, and where pairs come from."""

from specsim.pairs.pair import UNIT, ModelPair, Rounding, round_to_units

__all__ = ["UNIT", "ModelPair", "Rounding", "round_to_units"]
