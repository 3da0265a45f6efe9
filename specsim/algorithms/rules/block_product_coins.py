"""The facts of the rule ``block-product-coins``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="block-product-coins",
    title="block verification with the product of the coins so far as the coin; token residual",
    source="vllm-project/vllm-ascend#5542, kernel at 05226df",
    lossless=False,
    structures=("chain",),
    drawings=("independent",),
    absent={
        "program": "a product of coins has no finite law of rational numbers",
        "torch_rule": "real models are decoded by rules that keep the target's law, and by over-acceptance",
        "claims": "its statements stand beside those of rules like it: biased.py",
    },
    inexact="products of coins have laws with logarithms",
)
