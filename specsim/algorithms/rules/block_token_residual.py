"""The facts of the rule ``block-token-residual``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="block-token-residual",
    title="block verification, but the replacement is drawn from target - draft without the weight",
    source="2403.10444, Algorithm 2, with the residual of 2211.17192; vllm-project/vllm-ascend#7808",
    lossless=False,
    structures=("chain",),
    drawings=("independent",),
    absent={
        "torch_rule": "real models are decoded by rules that keep the target's law, and by over-acceptance",
        "claims": "its statements are with those of similar rules: biased.py",
    },
)
