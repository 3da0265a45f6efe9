"""The facts of the rule ``greedy-block``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="greedy-block",
    title="select the path of the largest target / draft, token by token; verify it as a block by its law",
    source="2602.16961; its reference code is biased, see docs/findings.md",
    aliases=("gbv",),
    lossless=True,
    structures=("chain", "paths"),
    drawings=("independent",),
    absent={
        "torch_rule": "the law of the selected path needs a sort of the vocabulary at every node",
        "claims": "no statement of its source is checked beyond the generated claims over all laws",
    },
)
