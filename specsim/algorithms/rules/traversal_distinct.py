"""The facts of the rule ``traversal-distinct``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="traversal-distinct",
    title="traversal verification for children drawn without replacement",
    source="2505.12398",
    aliases=("traversal-without-replacement",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("distinct",),
    absent={
        "claims": "only the generated claims about all distributions are checked",
    },
)
