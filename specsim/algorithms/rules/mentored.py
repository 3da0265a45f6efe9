"""The facts of the rule ``mentored``."""

from specsim.algorithms.rule import Parameter, Rule

RULE = Rule(
    name="mentored",
    title="the ratio rule with a target that is moved towards the draft, up to a bounded divergence",
    source="2609.30474; Tran-Thien, An optimal lossy variant of speculative decoding, 2023",
    lossless=False,
    structures=("chain",),
    drawings=("independent",),
    parameters={
        "divergence": Parameter(
            meaning="Largest Kullback-Leibler divergence of the row from the target, in nats.",
            examples=(0.1, 0.0, 0.02),
        ),
    },
    absent={
        "torch_rule": "real models are decoded by rules that keep the target's law, and by over-acceptance",
        "claims": "its statements are with those of similar rules: lossy.py",
    },
    inexact="the row solves an equation with logarithms",
)
