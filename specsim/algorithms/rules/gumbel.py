"""The facts of the rule ``gumbel``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="gumbel",
    title="draw draft and target tokens with the same noise; accept a child that the target draws too",
    source="2408.07978; with several drafts 2506.05632",
    aliases=("gumbel-match", "exponential-race", "list-matching"),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("own",),
    absent={
        "program": "continuous noise cannot be enumerated",
        "torch_rule": "drafting and testing use the same noise, but the decoder draws drafts by inversion",
    },
)
