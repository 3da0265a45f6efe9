"""The facts of the rule ``typical``."""

from specsim.algorithms.rule import Parameter, Rule

RULE = Rule(
    name="typical",
    title="accept when target > min(epsilon, delta exp(-entropy)); else a target token or the most probable",
    source="2401.10774, section 3.3.1; defaults as in vllm-project/vllm at 0244fee",
    lossless=False,
    structures=("chain",),
    drawings=("independent",),
    parameters={
        "epsilon": Parameter(
            meaning="Probability above which a token is always accepted.",
            default=0.09,
            most=1,
            examples=(0.09, 0.5),
        ),
        "delta": Parameter(
            meaning="What exp(-entropy) of the target is multiplied by.", default=0.3, examples=(0.3, 0.75)
        ),
        "residual": Parameter(
            meaning="Token after a rejection: drawn from the target, or its likeliest.",
            default="target",
            kind="choice",
            choices=("target", "likeliest"),
        ),
    },
    absent={
        "torch_rule": "real models are decoded by rules that keep the target's law, and by over-acceptance",
        "claims": "its statements are with those of similar rules: lossy.py",
    },
)
