"""The facts of the rule ``ratio``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="ratio",
    title="accept with min(1, target / draft); replace the first failure by the residual of target - draft",
    source="2211.17192, Algorithm 1; 2302.01318, Algorithm 2; 2411.00841, Algorithm 1",
    lossless=True,
    structures=("chain",),
    drawings=("independent",),
    absent={
        "claims": "its statements are those of the paper: theorem_1.py, theorem_2.py",
    },
)
