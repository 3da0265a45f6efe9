"""The facts of the rule ``summed-coin``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="summed-coin",
    title="one coin against the summed target mass of the children in order; the final token excludes them",
    source="sgl-project/sglang#7207",
    aliases=("summed-target-coin",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("distinct", "greedy"),
    absent={
        "claims": "no statement of its source is checked beyond the generated claims over all laws",
    },
)
