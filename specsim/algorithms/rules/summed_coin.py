"""The facts of the rule ``summed-coin``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="summed-coin",
    title="compare one random number with the growing sum of the children's target probabilities",
    source="sgl-project/sglang#7207",
    aliases=("summed-target-coin",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("distinct", "greedy"),
    absent={
        "claims": "only the generated claims about all distributions are checked",
    },
)
