"""The facts of the rule ``match``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="match",
    title="draw once from the target at each node; go to the child that equals the draw, else emit it",
    source="z-lab/dflash#74; 2310.15141, Section 3",
    aliases=("shared-target-draw",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("independent", "distinct", "greedy"),
    absent={
        "claims": "only the generated claims about all distributions are checked",
    },
)
