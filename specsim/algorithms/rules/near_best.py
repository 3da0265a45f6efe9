"""The facts of the rule ``near-best``."""

from specsim.algorithms.rule import Parameter, Rule

RULE = Rule(
    name="near-best",
    title="accept a most probable target token within delta of the best; else emit the best",
    source="NVIDIA/TensorRT-LLM#3865, relaxed acceptance",
    aliases=("relaxed-acceptance",),
    lossless=False,
    structures=("chain",),
    drawings=("independent",),
    parameters={
        "top": Parameter(
            meaning="Number of the likeliest target tokens that are candidates.",
            default=1,
            kind="whole",
            examples=(1, 2),
        ),
        "delta": Parameter(
            meaning="How far below the best probability a candidate may be.",
            default=0.0,
            most=1,
            examples=(0.0, 0.25, 1.0),
        ),
    },
    absent={
        "torch_rule": "real models are decoded by rules that keep the target's law, and by over-acceptance",
        "claims": "its statements are with those of similar rules: lossy.py",
    },
)
