"""The facts of the rule ``gumbel``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="gumbel",
    title="draw draft and target with the same noise; descend into the child that the target draws",
    source="2408.07978; with several drafts 2506.05632",
    aliases=("gumbel-match", "exponential-race", "list-matching"),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("own",),
    absent={
        "program": "continuous noise cannot be enumerated",
        "torch_rule": "drafting and testing share their noise; the decoder draws drafts by inversion",
    },
)
