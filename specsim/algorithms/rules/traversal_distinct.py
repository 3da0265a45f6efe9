"""The facts of the rule ``traversal-distinct``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="traversal-distinct",
    title="traversal verification with the draft row less the tokens already tried, renormalised",
    source="2505.12398",
    aliases=("traversal-without-replacement",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("distinct",),
    absent={
        "claims": "no statement of its source is checked beyond the generated claims over all laws",
    },
)
