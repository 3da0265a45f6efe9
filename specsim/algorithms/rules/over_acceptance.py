"""The facts of the rule ``over-acceptance``."""

from specsim.algorithms.rule import Parameter, Rule

RULE = Rule(
    name="over-acceptance",
    title="accept with min(1, (target + epsilon) / draft), and replace by the chosen residual",
    source="2411.00841, section 4.2 and Appendix G",
    lossless=False,
    structures=("chain",),
    drawings=("independent",),
    parameters={
        "epsilon": Parameter(meaning="What is added to the target's probability in the test."),
        "residual": Parameter(
            meaning="Token after a rejection: from the positive part of target - draft, target or draft.",
            default="optimal",
            kind="choice",
            choices=("optimal", "target", "draft"),
        ),
    },
    absent={
        "claims": "its statements are those of the paper: trade_off.py",
    },
)
