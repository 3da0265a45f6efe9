"""The facts of the rule ``naive-draws``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="naive-draws",
    title="draw from the target anew for every child; go to the first child that equals its own draw",
    source="foundation-model-stack/fms-extras#12",
    aliases=("independent-target-draws",),
    lossless=False,
    structures=("chain", "paths", "tree"),
    drawings=("independent", "distinct", "greedy"),
    absent={"torch_rule": "it is biased, and match does with one draw what it tries to do with several"},
)
