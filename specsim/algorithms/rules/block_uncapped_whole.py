"""The facts of the rule ``block-uncapped-whole``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="block-uncapped-whole",
    title="block verification, but the whole draft is accepted with min(1, product of target / draft)",
    source="2601.05724, public code ZhouYuxuanYX/Hierarchical-Speculative-Decoding at b8575e2 (2026-04-14)",
    lossless=False,
    structures=("chain",),
    drawings=("independent",),
    absent={
        "torch_rule": "real models are decoded by rules that keep the target's law, and by over-acceptance",
        "claims": "its statements are with those of similar rules: biased.py",
    },
)
