"""The facts of the rule ``minhash``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="minhash",
    title="draft and target use the same random points (MinHash); accept a token on which they agree",
    source="2408.07978 (weighted MinHash); with several drafts one stream of points for each",
    aliases=("weighted-minhash",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("own",),
    absent={
        "program": "continuous noise cannot be enumerated",
        "torch_rule": "drafting and testing use the same noise, but the decoder draws drafts by inversion",
    },
)
