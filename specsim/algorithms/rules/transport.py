"""The facts of the rule ``transport``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="transport",
    title="at each node the plan of most acceptance, children drawn independently",
    source="2310.15141, Section 4; 2410.18234",
    aliases=("optimal-transport",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("independent",),
    absent={
        "kernel": "the plan is a linear programme over all sets of tokens at every node",
        "program": "a plan of most acceptance is not unique, and none is published as steps",
        "torch_rule": "the plan is a linear programme over the vocabulary at every node",
        "claims": "no statement of its source is checked beyond the generated claims over all laws",
    },
)
