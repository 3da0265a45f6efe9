"""The facts of the rule ``block-kept-coins``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="block-kept-coins",
    title="block verification whose random number for a position is used again in the next round",
    source="2403.10444, Algorithm 2, as in vLLM 0.30.0 (vllm-project/vllm#46781), corrected by 0.33.0",
    lossless=False,
    structures=("chain",),
    drawings=("independent",),
    absent={
        "torch_rule": "real models are decoded by rules that keep the target's law, and by over-acceptance",
        "claims": "its statements are with those of similar rules: biased.py",
    },
)
