"""The facts of the rule ``traversal``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="traversal",
    title="leaves first: accept the path to the leaf by its weight, or delete the leaf",
    source="2505.12398",
    aliases=("traversal-with-replacement",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("independent",),
    absent={
        "claims": "no statement of its source is checked beyond the generated claims over all laws",
    },
)
