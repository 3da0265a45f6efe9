"""The facts of the rule ``block``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="block",
    title="accept the longest prefix that passes its test; replace the next token from a weighted residual",
    source="2403.10444, Algorithm 2",
    lossless=True,
    structures=("chain",),
    drawings=("independent",),
    absent={
        "claims": "its comparison with the rejection-based family is in theorem_2.py",
    },
)
