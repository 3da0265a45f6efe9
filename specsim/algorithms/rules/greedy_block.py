"""The facts of the rule ``greedy-block``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="greedy-block",
    title="keep the path with the largest target / draft, token by token; verify it as a block",
    source="2602.16961; its reference code is biased, see docs/findings.md",
    aliases=("gbv",),
    lossless=True,
    structures=("chain", "paths"),
    drawings=("independent",),
    absent={
        "torch_rule": "the law of the selected path needs a sort of the vocabulary at every node",
        "claims": "only the generated claims about all distributions are checked",
    },
)
