"""The facts of the rule ``lenience``."""

from fractions import Fraction

from specsim.algorithms.rule import Parameter, Rule

RULE = Rule(
    name="lenience",
    title="accept with min(1, target / (lenience draft)), and replace as the ratio rule does",
    source="2211.17192, Appendix A.5",
    lossless=False,
    structures=("chain",),
    drawings=("independent",),
    parameters={
        "lenience": Parameter(
            meaning="What the draft is multiplied by; 1: the ratio rule, 0: accepts all that the target has.",
            most=1,
            examples=(0.5, 0.0, Fraction(1, 10)),
        ),
    },
    absent={
        "torch_rule": "real models are decoded by rules that keep the target's law, and by over-acceptance",
        "claims": "its statements are with those of similar rules: lossy.py",
    },
)
