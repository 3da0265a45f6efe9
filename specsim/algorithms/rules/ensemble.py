"""The facts of the rule ``ensemble``."""

from fractions import Fraction

from specsim.algorithms.rule import Parameter, Rule

RULE = Rule(
    name="ensemble",
    title="the ratio rule with the mixture share target + (1 - share) draft as its target",
    source="2405.19261, section 2, as the simplest mixture of two models",
    lossless=False,
    structures=("chain",),
    drawings=("independent",),
    parameters={
        "share": Parameter(
            meaning="Share of the target in the mixture; 1 is the ratio rule, 0 accepts everything.",
            most=1,
            examples=(0.5, 0.0, Fraction(1, 10)),
        ),
    },
    absent={
        "torch_rule": "real models are decoded by rules that keep the target's law, and by over-acceptance",
        "claims": "its statements are with those of similar rules: lossy.py",
    },
)
