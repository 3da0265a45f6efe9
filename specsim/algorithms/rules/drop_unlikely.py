"""The facts of the rule ``drop-unlikely``."""

from specsim.algorithms.rule import Parameter, Rule

RULE = Rule(
    name="drop-unlikely",
    title="end the draft before a sampled token that the draft finds unlikely; draw from the target there",
    source="ggml-org/llama.cpp#22506; a dropped token counts as rejected",
    lossless=False,
    structures=("chain",),
    drawings=("independent",),
    parameters={
        "least": Parameter(
            meaning="Least draft probability of a token that is submitted.", most=1, examples=(0.25, 0.5, 0.0)
        ),
    },
    absent={
        "torch_rule": "real models are decoded by rules that keep the target's law, and by over-acceptance",
        "claims": "its statements are with those of similar rules: biased.py",
    },
)
