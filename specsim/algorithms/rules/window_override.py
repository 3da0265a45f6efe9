"""The facts of the rule ``window-override``."""

from specsim.algorithms.rule import Parameter, Rule

RULE = Rule(
    name="window-override",
    title="the ratio rule, but an uncertain rejection is overridden if the tests of later tokens succeed",
    source="2511.22972; vllm-project/vllm#53987",
    aliases=("fly",),
    lossless=False,
    structures=("chain",),
    drawings=("independent",),
    parameters={
        "window": Parameter(
            meaning="Number of later tokens whose own tests must all succeed.",
            default=6,
            kind="whole",
            examples=(1, 2),
        ),
        "entropy": Parameter(
            meaning="Least entropy, in nats, at which a rejection may be overridden.",
            default=0.3,
            examples=(0.3, 0.0),
        ),
        "top": Parameter(
            meaning="Number of the likeliest target tokens that the entropy is of.",
            default=3,
            kind="whole",
            examples=(3, 1),
        ),
    },
    absent={
        "torch_rule": "real models are decoded by rules that keep the target's law, and by over-acceptance",
        "claims": "its statements are with those of similar rules: lossy.py",
    },
)
