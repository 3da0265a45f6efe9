"""The facts of the rule ``greedy-drafts``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="greedy-drafts",
    title="the likeliest draft tokens are fixed, the last child is drawn from the rest and tested alone",
    source="2502.18779",
    aliases=("greedy-candidates",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("own",),
    absent={
        "torch_rule": "the decoder draws all children of a node in the same way; here the last one differs",
        "claims": "only the generated claims about all distributions are checked",
    },
)
