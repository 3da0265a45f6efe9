"""The facts of the rule ``recursive-distinct``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="recursive-distinct",
    title="recursive rejection with the draft row less the tokens already tried, renormalised",
    source="2402.14160; 2402.12374",
    aliases=("recursive-without-replacement",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("distinct",),
    absent={
        "claims": "no statement of its source is checked beyond the generated claims over all laws",
    },
)
