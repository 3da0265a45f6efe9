"""The facts of the rule ``batch-as-printed``."""

from specsim.algorithms.rule import Parameter, Rule

RULE = Rule(
    name="batch-as-printed",
    title="Algorithm 4 of 2411.00841 as printed, with one of its two errors",
    source="2411.00841, Algorithm 4",
    lossless=False,
    structures=("chain", "paths"),
    drawings=("independent",),
    parameters={
        "slip": Parameter(
            meaning="Whether lines 25-29 stand inside the loop over drafts, or line 28 subtracts once more.",
            kind="choice",
            choices=("inside-loop", "extra-subtraction"),
        ),
    },
    absent={"torch_rule": "kept to show the error of the paper; batch is the corrected rule"},
)
