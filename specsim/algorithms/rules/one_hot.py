"""The facts of the rule ``one-hot``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="one-hot",
    title="accept a child with the target's probability; if it fails, remove its token from the target",
    source="2211.17192 with a deterministic draft; SafeAILab/EAGLE#329",
    aliases=("one-hot-children",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("independent", "distinct", "greedy"),
    absent={
        "claims": "only the generated claims about all distributions are checked",
    },
)
