"""The facts of the rule ``gumbel``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="gumbel",
    title="draw draft and target with the same noise at each position; accept while they agree",
    source="2408.07978",
    aliases=("gumbel-match",),
    lossless=True,
    structures=("chain",),
    drawings=("own",),
    absent={
        "program": "continuous noise cannot be enumerated",
        "torch_rule": "drafting and testing share their noise; the decoder draws drafts by inversion",
        "claims": "no statement of its source is checked beyond the generated claims over all laws",
    },
)
