"""The facts of the rule ``match``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="match",
    title="draw once from the target at a node; descend into the child that equals it, else emit it",
    source="z-lab/dflash#74; 2310.15141, Section 3",
    aliases=("shared-target-draw",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("independent", "distinct", "greedy"),
    absent={
        "claims": "no statement of its source is checked beyond the generated claims over all laws",
    },
)
