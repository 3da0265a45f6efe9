"""The facts of the rule ``summed-coin-thresholds``."""

from specsim.algorithms.rule import Parameter, Rule

RULE = Rule(
    name="summed-coin-thresholds",
    title="the summed coin with a lower threshold, or accept a child that is likely by itself",
    source="sgl-project/sglang#7207, options speculative-accept-threshold-acc and -single",
    lossless=False,
    structures=("chain", "paths", "tree"),
    drawings=("distinct", "greedy"),
    parameters={
        "summed": Parameter(
            meaning="What the coin is multiplied by before it is compared with the sum.",
            default=1.0,
            most=1,
            examples=(0.5, 1.0, 0.0),
        ),
        "single": Parameter(
            meaning="Target probability from which a child is accepted whatever the coin.",
            default=1.0,
            most=1,
            examples=(0.5, 1.0),
        ),
    },
    absent={
        "torch_rule": "real models are decoded by rules that keep the target's law, and by over-acceptance",
        "claims": "its statements are with those of similar rules: lossy.py",
    },
)
