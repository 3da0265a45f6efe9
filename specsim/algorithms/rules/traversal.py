"""The facts of the rule ``traversal``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="traversal",
    title="from the leaves up: accept the path to a leaf by its weight, or delete the leaf",
    source="2505.12398",
    aliases=("traversal-with-replacement",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("independent",),
    absent={
        "claims": "only the generated claims about all distributions are checked",
    },
)
