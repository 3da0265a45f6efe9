"""The facts of the rule ``transport-distinct``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="transport-distinct",
    title="at each node the transport plan with the highest acceptance, children without replacement",
    source="2310.15141, Section 4; 2502.18779",
    aliases=("optimal-transport-without-replacement",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("distinct",),
    absent={
        "torch_rule": "the cuts of its plan are found one after the other, up to one for each token",
        "claims": "that it accepts the most is among the orders of rules: orders.py",
    },
)
