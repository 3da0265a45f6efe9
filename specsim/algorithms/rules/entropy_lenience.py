"""The facts of the rule ``entropy-lenience``."""

from specsim.algorithms.rule import Parameter, Rule

RULE = Rule(
    name="entropy-lenience",
    title="accept with min(1, target / (factor draft)), factor = min(ceiling, exp(-rate entropy))",
    source="vllm-project/vllm-ascend#9772, entropy verification at 05226df",
    lossless=False,
    structures=("chain",),
    drawings=("independent",),
    parameters={
        "ceiling": Parameter(
            meaning="Largest factor; below 1 nearly sure rows are lossy, too.",
            default=0.95,
            most=1,
            examples=(0.95, 0.5),
        ),
        "rate": Parameter(
            meaning="What the entropy, in nats, is multiplied by.", default=0.4, examples=(0.4, 2.0)
        ),
    },
    absent={
        "torch_rule": "real models are decoded by rules that keep the target's law, and by over-acceptance",
        "claims": "its statements are with those of similar rules: lossy.py",
    },
    inexact="the exponential of an entropy is irrational",
)
