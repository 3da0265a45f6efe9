"""The facts of the rule ``k-seq``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="k-seq",
    title="one test for every child with the target divided by a factor, one residual after all have failed",
    source="2310.15141, Algorithm 2",
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("independent",),
    inexact="the factor solves a polynomial equation and is irrational in general",
    absent={
        "claims": "no statement of its source is checked beyond the generated claims over all laws",
    },
)
