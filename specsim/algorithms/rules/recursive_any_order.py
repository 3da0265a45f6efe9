"""The facts of the rule ``recursive-any-order``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="recursive-any-order",
    title="recursive rejection over the children in a random order",
    source="2305.09781, Algorithm 2",
    aliases=("recursive-random-order",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("independent",),
    absent={
        "torch_rule": "on independent drafts a random order has the law of a fixed one, which is recursive",
        "claims": "only the generated claims about all distributions are checked",
    },
)
