"""The facts of the rule ``recursive-distinct``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="recursive-distinct",
    title="recursive rejection for children drawn without replacement",
    source="2402.14160; 2402.12374",
    aliases=("recursive-without-replacement",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("distinct",),
    absent={
        "claims": "only the generated claims about all distributions are checked",
    },
)
