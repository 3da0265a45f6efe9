"""The facts of the rule ``transport``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="transport",
    title="at each node the transport plan with the highest acceptance, children drawn independently",
    source="2310.15141, Section 4; 2410.18234",
    aliases=("optimal-transport",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("independent",),
    absent={
        "torch_rule": "the cuts of its plan are found one after the other, up to one for each token",
        "claims": "that it accepts the most is among the orders of rules: orders.py",
    },
)
