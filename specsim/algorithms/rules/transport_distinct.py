"""The facts of the rule ``transport-distinct``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="transport-distinct",
    title="at each node the plan of most acceptance, children drawn without replacement",
    source="2310.15141, Section 4; 2502.18779",
    aliases=("optimal-transport-without-replacement",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("distinct",),
    absent={
        "kernel": "the plan is a linear programme over all sets of tokens at every node",
        "program": "a plan of most acceptance is not unique, and none is published as steps",
        "torch_rule": "the plan is a linear programme over the vocabulary at every node",
        "claims": "no statement of its source is checked beyond the generated claims over all laws",
    },
)
