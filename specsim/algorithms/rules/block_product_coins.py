"""The facts of the rule ``block-product-coins``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="block-product-coins",
    title="block verification with products of random numbers as coins, and the unweighted residual",
    source="vllm-project/vllm-ascend#5542, kernel at 05226df",
    lossless=False,
    structures=("chain",),
    drawings=("independent",),
    absent={
        "program": "a product of coins has no finite law of rational numbers",
        "torch_rule": "real models are decoded by rules that keep the target's law, and by over-acceptance",
        "claims": "its statements are with those of similar rules: biased.py",
    },
    inexact="products of coins have laws with logarithms",
)
