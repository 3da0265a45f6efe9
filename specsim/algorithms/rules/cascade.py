"""The facts of the rule ``cascade``."""

from specsim.algorithms.rule import Parameter, Rule

RULE = Rule(
    name="cascade",
    title="the ratio rule, with the draft as its target where the draft's best token is good enough",
    source="2405.19261, the rule OPT",
    aliases=("speculative-cascade",),
    lossless=False,
    structures=("chain",),
    drawings=("independent",),
    parameters={
        "alpha": Parameter(
            meaning="The target is used where max draft < max target - alpha TV(target, draft).",
            examples=(0.25, 0.0, 1.0),
        ),
    },
    absent={
        "torch_rule": "real models are decoded by rules that keep the target's law, and by over-acceptance",
        "claims": "its statements are with those of similar rules: lossy.py",
    },
)
